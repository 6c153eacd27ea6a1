"""A connection to one MongoDB database: how sure its answers are, how long they may take, how it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import parse_qs, urlsplit

import pymongo
import structlog
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from services.gateway.store.mongo.schema import migrate
from services.mesh.errors import InvalidArgument, Unavailable

_log = structlog.get_logger()

Document = dict[str, Any]
Collection = AsyncCollection[Document]

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")
Owner = TypeVar("Owner", bound="Connected")

DEFAULT_DATABASE = "vitrine"
_DUPLICATE_KEY = 11_000

# For the search of a server that answers, for a connection to it and for what it answers, where the address
# does not say: most callers are gone after some seconds. One limit for all of it (`timeoutMS`) would make the
# driver look for a server that is away until that has passed.
DEFAULT_OPTIONS: dict[str, Any] = {
    "serverSelectionTimeoutMS": 1_000,
    "connectTimeoutMS": 1_000,
    "waitQueueTimeoutMS": 5_000,
    "socketTimeoutMS": 10_000,
    "appName": "vitrine",
}

# For calls under way when the connection is closed.
CLOSE_S = 5.0


class MongoConnection:
    """A database whose writes are durable when acknowledged, and whose reads see only what is.

    Writes wait until a majority of the replica set has them in its journal (write concern `majority`, `j`),
    and reads are of what a majority has (read concern `majority`), from the primary: what was acknowledged is
    seen, and what was seen is never undone. The address cannot soften that. A server that stands alone is
    asked for its own journal (`w` of 1, `j`).
    """

    def __init__(self, url: str) -> None:
        try:
            given = {name.lower() for name in parse_qs(urlsplit(url).query)}
            defaults = {name: value for name, value in DEFAULT_OPTIONS.items() if name.lower() not in given}
            self._client: pymongo.AsyncMongoClient[Document] = pymongo.AsyncMongoClient(url, **defaults)
        except (PyMongoError, ValueError):
            # What is wrong with it may quote a part of the password.
            raise InvalidArgument("store_url", "is not an address of MongoDB") from None
        # The tasks of calls, also of callers who have gone: the event loop itself does not hold them.
        self._working: set[asyncio.Task[Any]] = set()
        self.database: AsyncDatabase[Document] = self._client.get_default_database(
            DEFAULT_DATABASE,
            read_preference=ReadPreference.PRIMARY,
            read_concern=ReadConcern("majority"),
            write_concern=WriteConcern("majority", j=True),
        )

    @classmethod
    async def open(cls, url: str) -> MongoConnection:
        """Connect, and bring the database to the newest schema.

        Raises Unavailable (STORE_UNAVAILABLE), InvalidArgument for an address that is none, and
        FailedPrecondition for a database that a newer release has been at.
        """
        connection = cls(url)
        try:
            await connection.reach(connection._meet())
            await connection.reach(migrate(connection.database))
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _meet(self) -> None:
        hello = await self.database.command("hello")
        # Routers of sharded clusters, and members of replica sets, name themselves so.
        if "setName" not in hello and hello.get("msg") != "isdbgrid":
            # A server that stands alone may take a majority of one as granted, and not wait for its journal.
            self.database = self.database.with_options(write_concern=WriteConcern(1, j=True))

    async def reach(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do work with the driver; what it does not catch of the driver's errors is Unavailable.

        When the caller is cancelled, the work goes on to its end, and nobody hears of it. The driver would
        drop the connection, which costs more than the answer, and before Python 3.12 it may swallow the
        cancellation: it waits by `asyncio.wait_for` (python/cpython#86296).
        """
        task = asyncio.create_task(work)
        self._working.add(task)
        task.add_done_callback(self._working.discard)
        try:
            return await asyncio.shield(task)
        except PyMongoError as error:
            # Addresses of servers are for those who run them, not for callers.
            _log.warning("the store cannot be reached", error=str(error))
            raise Unavailable("the store cannot be reached", reason="STORE_UNAVAILABLE") from error

    async def close(self) -> None:
        """Let go of the servers; done again, nothing happens."""
        if self._working:
            await asyncio.wait(self._working, timeout=CLOSE_S)
        await self._client.close()


def only_duplicates(error: BulkWriteError) -> bool:
    """Whether nothing was wrong with writes but that their places were taken."""
    failed = error.details["writeErrors"]
    return not error.details["writeConcernErrors"] and all(each["code"] == _DUPLICATE_KEY for each in failed)


class Connected:
    """What is kept in a database. Its public methods are `reaching` it."""

    def __init__(self, connection: MongoConnection) -> None:
        self.connection = connection


def reaching(
    method: Callable[Concatenate[Owner, Arguments], Coroutine[Any, Any, Result]],
) -> Callable[Concatenate[Owner, Arguments], Coroutine[Any, Any, Result]]:
    """A method that talks to the database: see `MongoConnection.reach`."""

    @wraps(method)
    async def reached(self: Owner, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        return await self.connection.reach(method(self, *args, **kwargs))

    return reached

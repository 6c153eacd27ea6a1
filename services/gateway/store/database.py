"""One SQLite file: write-ahead log, one writer, readers beside it. Several stores share it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
import structlog

from services.gateway.store.schema import migrate
from services.mesh.errors import Unavailable

_log = structlog.get_logger()

Result = TypeVar("Result")

READERS = 4
BUSY_TIMEOUT_MS = 5_000


class SqliteDatabase:
    """The file `path`, which is made or migrated by `open`."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = _engine(path, begin="BEGIN IMMEDIATE", connections=1)
        self._reader = _engine(path, begin="BEGIN", connections=READERS)
        self._writer_thread = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._reader_threads = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")

    @classmethod
    async def open(cls, path: Path) -> SqliteDatabase:
        """Open the database in a file; raises Unavailable when that cannot be done."""
        database = cls(path)
        try:
            await database.write(migrate)
        except BaseException:
            await database.close()
            raise
        return database

    async def read(self, work: Callable[[sa.Connection], Result]) -> Result:
        """Do `work` in a transaction that sees one state; raises Unavailable (STORE_UNAVAILABLE)."""
        return await _in_thread(self._reader_threads, self._reader, work)

    async def write(self, work: Callable[[sa.Connection], Result]) -> Result:
        """Do `work` in the one transaction that may write, all of it durably when this returns, or nothing.

        Raises Unavailable (STORE_UNAVAILABLE).
        """
        return await _in_thread(self._writer_thread, self._writer, work)

    async def close(self) -> None:
        """Finish what is being done and close the file; done again, nothing happens."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._writer_thread.shutdown()
        self._reader_threads.shutdown()
        self._writer.dispose()
        self._reader.dispose()


def _engine(path: Path, *, begin: str, connections: int) -> sa.Engine:
    engine = sa.create_engine(
        f"sqlite:///{path}",
        poolclass=sa.pool.QueuePool,
        pool_size=connections,
        max_overflow=0,
        # Values of callers are none of the log's business.
        hide_parameters=True,
    )

    @sa.event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        # Transactions are begun below, as we say; the driver would begin them late and never for reads.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA journal_mode = WAL")
        # Acknowledged is on the disk, also when the machine loses power.
        connection.execute("PRAGMA synchronous = FULL")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


async def _in_thread(
    threads: ThreadPoolExecutor, engine: sa.Engine, work: Callable[[sa.Connection], Result]
) -> Result:
    def transaction() -> Result:
        with engine.begin() as connection:
            return work(connection)

    try:
        return await asyncio.get_running_loop().run_in_executor(threads, transaction)
    except (sa.exc.OperationalError, sa.exc.TimeoutError) as error:
        # Statements are for our log, not for callers.
        _log.warning("store failed", error=str(error))
        raise Unavailable("the store cannot be reached", reason="STORE_UNAVAILABLE") from error

from __future__ import annotations

import pytest

from services.gateway.store.mongo.connection import MongoConnection
from services.mesh.errors import FailedPrecondition, InvalidArgument, Unavailable
from tests.engines.mongo.engine import MongoEngine


async def test_what_is_acknowledged_is_durable_whatever_the_address_says(
    mongo_engine: MongoEngine, mongo_url: str
) -> None:
    """Writes wait for the journals of a majority, of one where there is one; reads come from the primary."""
    url = mongo_engine.url("named")
    connection = MongoConnection(f"{url}&w=0&journal=false&readPreference=nearest&socketTimeoutMS=1234")
    database = connection.database
    assert database.write_concern.document == {"w": "majority", "j": True}
    assert database.read_concern.document == {"level": "majority"}
    assert database.read_preference.name == "Primary"
    assert database.client.options.pool_options.socket_timeout == 1.234
    assert database.name == "named"
    await connection.close()
    connection = await MongoConnection.open(f"{mongo_url}&w=0&journal=false")
    assert connection.database.write_concern.document == {"w": 1, "j": True}
    await connection.close()


@pytest.mark.parametrize("url", ["mongodb://", "mongodb://host:port", "mongodb://user:secr@et@host/x"])
async def test_an_address_that_is_none_is_refused(url: str) -> None:
    """A wrong address is the operator's mistake, told at once and without the password in it."""
    with pytest.raises(InvalidArgument) as refused:
        await MongoConnection.open(url)
    assert "et@" not in refused.value.message


@pytest.mark.usefixtures("unreachable")
async def test_a_server_that_is_not_there_is_unavailable() -> None:
    """Opening fails with what a supervisor retries on."""
    with pytest.raises(Unavailable) as refused:
        await MongoConnection.open("mongodb://127.0.0.1:1/vitrine?serverSelectionTimeoutMS=50")
    assert refused.value.reason == "STORE_UNAVAILABLE"


async def test_a_newer_database_is_refused(mongo_url: str) -> None:
    """A release does not touch what a newer one has made."""
    connection = await MongoConnection.open(mongo_url)
    await connection.database.schema.update_one({"_id": "schema"}, {"$inc": {"version": 1}})
    await connection.close()
    with pytest.raises(FailedPrecondition):
        await MongoConnection.open(mongo_url)

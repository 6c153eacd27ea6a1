from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.gateway.store.database import SqliteDatabase
from services.gateway.store.sqlite_keys import SqliteKeyStore
from services.mesh.errors import Unavailable
from tests.gateway.key_store_suite import KeyStoreSuite, record


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    made = await SqliteDatabase.open(tmp_path / "catalog.db")
    yield made
    await made.close()


@pytest.fixture
def store(database: SqliteDatabase) -> SqliteKeyStore:
    return SqliteKeyStore(database)


class TestSqliteKeys(KeyStoreSuite):
    pass


async def test_keys_outlive_the_process(tmp_path: Path) -> None:
    """A key is there when the database is opened again."""
    first = await SqliteDatabase.open(tmp_path / "catalog.db")
    await SqliteKeyStore(first).add(record("a" * 16))
    await first.close()
    second = await SqliteDatabase.open(tmp_path / "catalog.db")
    try:
        assert await SqliteKeyStore(second).get("a" * 16) == record("a" * 16)
    finally:
        await second.close()


async def test_a_database_that_is_broken_is_unavailable(tmp_path: Path, database: SqliteDatabase) -> None:
    """A key that cannot be read for want of its table is Unavailable, not unknown."""
    await database.write(lambda connection: connection.exec_driver_sql("DROP TABLE api_keys"))
    with pytest.raises(Unavailable):
        await SqliteKeyStore(database).get("a" * 16)

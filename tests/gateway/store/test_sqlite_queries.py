from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from services.gateway.store.database import SqliteDatabase
from services.gateway.store.query_log import QueryPosition, QueryRange
from services.gateway.store.sqlite_queries import SqliteQueryStore, _page
from services.mesh.errors import Unavailable
from tests.gateway.query_store_suite import QueryStoreSuite, everything, ids, logged


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    made = await SqliteDatabase.open(tmp_path / "catalog.db")
    yield made
    await made.close()


@pytest.fixture
def store(database: SqliteDatabase) -> SqliteQueryStore:
    return SqliteQueryStore(database)


class TestSqliteQueries(QueryStoreSuite):
    pass


async def test_they_are_there_after_reopening(tmp_path: Path) -> None:
    """Closing and opening again changes nothing."""
    for count in (1, 2):
        database = await SqliteDatabase.open(tmp_path / "catalog.db")
        store = SqliteQueryStore(database)
        await store.add("shop", [logged(f"q{count}", count)])
        assert len(await ids(store, everything())) == count
        await database.close()


async def test_a_database_that_is_away_is_unavailable(
    database: SqliteDatabase, store: SqliteQueryStore
) -> None:
    """What SQLite cannot do is UNAVAILABLE."""
    await database.write(lambda connection: connection.exec_driver_sql("ALTER TABLE queries RENAME TO away"))
    with pytest.raises(Unavailable):
        await store.add("shop", [logged("a", 1)])
    with pytest.raises(Unavailable):
        await store.queries(everything(), None, 10)


@pytest.mark.parametrize("after", [None, (5, "a")])
@pytest.mark.parametrize("is_zero_only", [False, True])
async def test_a_page_costs_what_it_holds(
    database: SqliteDatabase, after: QueryPosition | None, is_zero_only: bool
) -> None:
    """Lists are read from an index in their order: nothing is sorted, and nothing else is read."""
    page = _page(QueryRange("shop", 0, 10, zero_results_only=is_zero_only), after, 10)
    statement = page.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    plan = await database.read(
        lambda connection: connection.execute(sa.text(f"EXPLAIN QUERY PLAN {statement}")).all()
    )
    [step] = [row.detail for row in plan]
    index = "queries_without_hits" if is_zero_only else "queries_listed"
    assert f"USING INDEX {index} (catalog=? AND time_ms>? AND time_ms<?)" in step

"""The query log in a SQLite file."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from services.gateway.store.database import SqliteDatabase
from services.gateway.store.query_log import MAX_FEEDBACK, QueryPosition, QueryRange
from vitrine.v1 import queries_pb2

# Well below SQLite's limit of 32,766 variables a statement.
MAX_KEYS_A_STATEMENT = 500

_metadata = sa.MetaData()
QUERIES = sa.Table(
    "queries",
    _metadata,
    sa.Column("catalog", sa.Text, primary_key=True),
    sa.Column("query_id", sa.Text, primary_key=True),
    sa.Column("time_ms", sa.Integer),
    sa.Column("has_hits", sa.Boolean),
    sa.Column("query", sa.LargeBinary),
)
FEEDBACK = sa.Table(
    "feedback",
    _metadata,
    sa.Column("catalog", sa.Text, primary_key=True),
    sa.Column("query_id", sa.Text, primary_key=True),
    sa.Column("product_id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Integer, primary_key=True),
    sa.Column("time_ms", sa.Integer),
    sa.Column("feedback", sa.LargeBinary),
)


class SqliteQueryStore:
    """A `QueryStore` in a database that others may share."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    async def add(self, catalog: str, queries: Sequence[queries_pb2.LoggedQuery]) -> None:
        """See QueryStore."""
        if not queries:
            return
        rows = [
            {
                "catalog": catalog,
                "query_id": query.query_id,
                "time_ms": query.time.ToMilliseconds(),
                "has_hits": query.hit_count > 0,
                "query": query.SerializeToString(),
            }
            for query in queries
        ]
        statement = insert(QUERIES).on_conflict_do_nothing()
        await self._database.write(lambda connection: connection.execute(statement, rows))

    async def add_feedback(self, catalog: str, query_id: str, feedback: queries_pb2.Feedback) -> bool:
        """See QueryStore."""
        return await self._database.write(
            lambda connection: _add_feedback(connection, catalog, query_id, feedback)
        )

    async def queries(
        self, wanted: QueryRange, after: QueryPosition | None, limit: int
    ) -> Sequence[queries_pb2.LoggedQuery]:
        """See QueryStore."""
        return await self._database.read(lambda connection: _queries(connection, wanted, after, limit))

    async def forget(self, before_ms: int, limit: int) -> int:
        """See QueryStore."""
        return await self._database.write(lambda connection: _forget(connection, before_ms, limit))


def _add_feedback(
    connection: sa.Connection, catalog: str, query_id: str, feedback: queries_pb2.Feedback
) -> bool:
    known = sa.select(sa.literal(value=True)).where(
        QUERIES.c.catalog == catalog, QUERIES.c.query_id == query_id
    )
    if not connection.scalar(known):
        return False
    given = sa.select(sa.func.count()).where(FEEDBACK.c.catalog == catalog, FEEDBACK.c.query_id == query_id)
    if (connection.scalar(given) or 0) < MAX_FEEDBACK:
        row = {
            "catalog": catalog,
            "query_id": query_id,
            "product_id": feedback.product,
            "kind": int(feedback.kind),
            "time_ms": feedback.time.ToMilliseconds(),
            "feedback": feedback.SerializeToString(),
        }
        connection.execute(insert(FEEDBACK).on_conflict_do_nothing(), row)
    return True


def _queries(
    connection: sa.Connection, wanted: QueryRange, after: QueryPosition | None, limit: int
) -> list[queries_pb2.LoggedQuery]:
    rows = connection.execute(_page(wanted, after, limit))
    found = {row.query_id: queries_pb2.LoggedQuery.FromString(row.query) for row in rows}
    ids = list(found)
    for start in range(0, len(ids), MAX_KEYS_A_STATEMENT):
        given = (
            sa.select(FEEDBACK.c.query_id, FEEDBACK.c.feedback)
            .where(
                FEEDBACK.c.catalog == wanted.catalog,
                FEEDBACK.c.query_id.in_(ids[start : start + MAX_KEYS_A_STATEMENT]),
            )
            .order_by(FEEDBACK.c.time_ms, FEEDBACK.c.product_id, FEEDBACK.c.kind)
        )
        for row in connection.execute(given):
            found[row.query_id].feedback.add().MergeFromString(row.feedback)
    return list(found.values())


def _page(wanted: QueryRange, after: QueryPosition | None, limit: int) -> sa.Select[tuple[str, bytes]]:
    end_ms = wanted.end_ms
    query = sa.select(QUERIES.c.query_id, QUERIES.c.query).where(QUERIES.c.catalog == wanted.catalog)
    if wanted.zero_results_only:
        query = query.where(sa.not_(QUERIES.c.has_hits))
    if after is not None:
        time_ms, query_id = after
        # One bound for the index to begin at, so that a page costs what it holds, wherever it is.
        end_ms = min(end_ms, time_ms + 1)
        query = query.where(sa.or_(QUERIES.c.time_ms < time_ms, QUERIES.c.query_id > query_id))
    return (
        query.where(QUERIES.c.time_ms >= wanted.start_ms, QUERIES.c.time_ms < end_ms)
        .order_by(QUERIES.c.time_ms.desc(), QUERIES.c.query_id)
        .limit(limit)
    )


def _forget(connection: sa.Connection, before_ms: int, limit: int) -> int:
    oldest = (
        sa.select(QUERIES.c.catalog, QUERIES.c.query_id)
        .where(QUERIES.c.time_ms < before_ms)
        .order_by(QUERIES.c.time_ms)
        .limit(limit)
    )
    keys = [{"of": row.catalog, "id": row.query_id} for row in connection.execute(oldest)]
    if keys:
        for table in (FEEDBACK, QUERIES):
            same = (table.c.catalog == sa.bindparam("of"), table.c.query_id == sa.bindparam("id"))
            connection.execute(sa.delete(table).where(*same), keys)
    return len(keys)

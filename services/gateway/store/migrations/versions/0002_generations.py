"""Catalogues in the log, vectors by generation, products with near duplicates, and leases.

Until now a catalogue had one generation, and was not in the log: an entry is added for each, so that shards
that follow the log hear of it.
"""

import time

import sqlalchemy as sa
from alembic import op

from vitrine.v1 import catalog_pb2, common_pb2

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    connection = op.get_bind()
    sqlite = connection.connection.dbapi_connection
    assert sqlite is not None
    # Called by SQLite itself, so that a large catalogue is never in memory.
    sqlite.create_function("generation_of", 1, _generation_of)
    _rows_by_generation()
    op.add_column("changes", sa.Column("flagged", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("products", sa.Column("flagged", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_index(
        "products_flagged", "products", ["catalog", "product_id"], sqlite_where=sa.text("flagged = 1")
    )
    _catalogs_in_the_log(connection)
    op.create_table(
        "leases",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("until_ms", sa.Integer, nullable=False),
    )


def _rows_by_generation() -> None:
    op.create_table(
        "change_rows",
        sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("generation", sa.Text, primary_key=True),
        sa.Column("rows", sa.LargeBinary, nullable=False),
    )
    op.execute(
        "INSERT INTO change_rows SELECT revision, position, generation_of(rows), rows FROM changes"
        " WHERE rows IS NOT NULL"
    )
    op.drop_column("changes", "rows")
    op.create_table(
        "new_vectors",
        sa.Column("catalog", sa.Text, primary_key=True),
        sa.Column("product_id", sa.Text, primary_key=True),
        sa.Column("generation", sa.Text, primary_key=True),
        sa.Column("revision", sa.Integer, nullable=False),
        # None is a tombstone, as of products.
        sa.Column("rows", sa.LargeBinary),
    )
    op.execute(
        "INSERT INTO new_vectors SELECT catalog, product_id, generation_of(rows), revision, nullif(rows, x'')"
        " FROM vectors"
    )
    op.drop_table("vectors")
    op.rename_table("new_vectors", "vectors")
    op.create_index(
        "vectors_covered",
        "vectors",
        ["catalog", "generation", "product_id"],
        sqlite_where=sa.text("rows IS NOT NULL"),
    )
    op.create_index("vector_tombstones", "vectors", ["revision"], sqlite_where=sa.text("rows IS NULL"))


def _catalogs_in_the_log(connection: sa.Connection) -> None:
    op.create_table(
        "catalog_changes",
        sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("catalog", sa.Text, nullable=False),
        # None where nothing is left of the catalogue.
        sa.Column("record", sa.LargeBinary),
        sa.Column("is_deleting", sa.Boolean, nullable=False),
    )
    old = connection.execute(sa.text("SELECT catalog, generation, create_time_ms FROM catalogs")).all()
    op.drop_table("catalogs")
    catalogs = op.create_table(
        "catalogs",
        sa.Column("catalog", sa.Text, primary_key=True),
        sa.Column("revision", sa.Integer, nullable=False),
        # None is a tombstone, as of products.
        sa.Column("record", sa.LargeBinary),
        sa.Column("is_deleting", sa.Boolean, nullable=False),
    )
    op.create_index("catalog_tombstones", "catalogs", ["revision"], sqlite_where=sa.text("record IS NULL"))
    head = connection.scalar(
        sa.text(
            "SELECT max((SELECT coalesce(max(revision), 0) FROM entries),"
            " (SELECT coalesce(max(revision), 0) FROM marks))"
        )
    )
    for at, (catalog, generation, create_time_ms) in enumerate(old, head + 1):
        record = _record(generation, create_time_ms)
        fields = {"revision": at, "catalog": catalog, "record": record, "is_deleting": False}
        connection.execute(catalogs.insert().values(fields))
        connection.execute(
            sa.text("INSERT INTO catalog_changes VALUES (:revision, 0, :catalog, :record, :is_deleting)"),
            fields,
        )
        connection.execute(
            sa.text("INSERT INTO entries VALUES (:revision, :time_ms, :size_bytes)"),
            {"revision": at, "time_ms": time.time_ns() // 1_000_000, "size_bytes": len(record)},
        )


def _generation_of(rows: bytes) -> str:
    # Of empty rows, which a deletion left: the one generation that there was.
    return catalog_pb2.ProductRows.FromString(rows).generation or "g1"


def _record(generation: bytes, create_time_ms: int) -> bytes:
    """A record as `services.gateway.store.records` had it when this was written."""
    message = catalog_pb2.Catalog()
    only = common_pb2.Generation.FromString(generation)
    message.active_generation.id = only.id
    message.create_time.FromMilliseconds(create_time_ms)
    message.generations.add(generation=only, state=catalog_pb2.GENERATION_STATE_READY)
    return message.SerializeToString(deterministic=True)

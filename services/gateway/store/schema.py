"""The tables of the SQLite store as the newest migration leaves them, and how a database is brought there."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

_metadata = sa.MetaData()


def _revision_key() -> sa.Column[int]:
    return sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False)


def _position_key() -> sa.Column[int]:
    return sa.Column("position", sa.Integer, primary_key=True, autoincrement=False)


ENTRIES = sa.Table(
    "entries",
    _metadata,
    _revision_key(),
    sa.Column("time_ms", sa.Integer),
    sa.Column("size_bytes", sa.Integer),
)
CHANGES = sa.Table(
    "changes",
    _metadata,
    _revision_key(),
    _position_key(),
    sa.Column("catalog", sa.Text),
    sa.Column("product_id", sa.Text),
    sa.Column("product", sa.LargeBinary),
    sa.Column("photo_count", sa.Integer),
    sa.Column("flagged", sa.Boolean),
)
# The rows of a change by generation.
CHANGE_ROWS = sa.Table(
    "change_rows",
    _metadata,
    _revision_key(),
    _position_key(),
    sa.Column("generation", sa.Text, primary_key=True),
    sa.Column("rows", sa.LargeBinary),
)
CATALOG_CHANGES = sa.Table(
    "catalog_changes",
    _metadata,
    _revision_key(),
    _position_key(),
    sa.Column("catalog", sa.Text),
    # None where nothing is left of the catalogue.
    sa.Column("record", sa.LargeBinary),
    sa.Column("is_deleting", sa.Boolean),
)
OUTCOMES = sa.Table(
    "outcomes",
    _metadata,
    sa.Column("request_key", sa.Text, primary_key=True),
    sa.Column("revision", sa.Integer),
    sa.Column("outcome", sa.LargeBinary),
)
# `applied`: the projections reach it. `floor`: the log begins after it.
MARKS = sa.Table(
    "marks", _metadata, sa.Column("name", sa.Text, primary_key=True), sa.Column("revision", sa.Integer)
)
# None as a record, a product or rows is a tombstone.
CATALOGS = sa.Table(
    "catalogs",
    _metadata,
    sa.Column("catalog", sa.Text, primary_key=True),
    sa.Column("revision", sa.Integer),
    sa.Column("record", sa.LargeBinary),
    sa.Column("is_deleting", sa.Boolean),
)
PRODUCTS = sa.Table(
    "products",
    _metadata,
    sa.Column("catalog", sa.Text, primary_key=True),
    sa.Column("product_id", sa.Text, primary_key=True),
    sa.Column("bucket", sa.Integer),
    sa.Column("revision", sa.Integer),
    sa.Column("time_ms", sa.Integer),
    sa.Column("photo_count", sa.Integer),
    sa.Column("product", sa.LargeBinary),
    sa.Column("flagged", sa.Boolean),
)
VECTORS = sa.Table(
    "vectors",
    _metadata,
    sa.Column("catalog", sa.Text, primary_key=True),
    sa.Column("product_id", sa.Text, primary_key=True),
    sa.Column("generation", sa.Text, primary_key=True),
    sa.Column("revision", sa.Integer),
    sa.Column("rows", sa.LargeBinary),
)
LEASES = sa.Table(
    "leases",
    _metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text),
    sa.Column("until_ms", sa.Integer),
)


def migrate(connection: sa.Connection) -> None:
    """Bring a database, new or old, to the newest schema."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")

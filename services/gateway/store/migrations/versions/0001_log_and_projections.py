"""The change log, and the projections of it."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "entries",
        sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("time_ms", sa.Integer, nullable=False),
        sa.Column("size_bytes", sa.Integer, nullable=False),
    )
    op.create_table(
        "changes",
        sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("catalog", sa.Text, nullable=False),
        sa.Column("product_id", sa.Text, nullable=False),
        sa.Column("product", sa.LargeBinary),
        sa.Column("rows", sa.LargeBinary),
        sa.Column("photo_count", sa.Integer, nullable=False),
    )
    op.create_table(
        "outcomes",
        sa.Column("request_key", sa.Text, primary_key=True),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("outcome", sa.LargeBinary, nullable=False),
    )
    op.create_index("outcomes_by_revision", "outcomes", ["revision"])
    op.create_table(
        "marks",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("revision", sa.Integer, nullable=False),
    )
    op.create_table(
        "catalogs",
        sa.Column("catalog", sa.Text, primary_key=True),
        sa.Column("generation", sa.LargeBinary, nullable=False),
        sa.Column("create_time_ms", sa.Integer, nullable=False),
    )
    op.create_table(
        "products",
        sa.Column("catalog", sa.Text, primary_key=True),
        sa.Column("product_id", sa.Text, primary_key=True),
        sa.Column("bucket", sa.Integer, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("time_ms", sa.Integer, nullable=False),
        sa.Column("photo_count", sa.Integer, nullable=False),
        # None is a tombstone: an older entry that is applied again must not bring the product back.
        sa.Column("product", sa.LargeBinary),
    )
    op.create_index(
        "products_counted",
        "products",
        ["catalog", "photo_count"],
        sqlite_where=sa.text("product IS NOT NULL"),
    )
    op.create_index("tombstones", "products", ["revision"], sqlite_where=sa.text("product IS NULL"))
    op.create_table(
        "vectors",
        sa.Column("catalog", sa.Text, primary_key=True),
        sa.Column("product_id", sa.Text, primary_key=True),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("rows", sa.LargeBinary, nullable=False),
    )

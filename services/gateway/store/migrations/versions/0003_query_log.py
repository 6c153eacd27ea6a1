"""The query log, and what people made of the hits."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "queries",
        sa.Column("catalog", sa.Text, primary_key=True),
        sa.Column("query_id", sa.Text, primary_key=True),
        sa.Column("time_ms", sa.Integer, nullable=False),
        sa.Column("has_hits", sa.Boolean, nullable=False),
        sa.Column("query", sa.LargeBinary, nullable=False),
    )
    newest_first = [sa.text("catalog"), sa.text("time_ms DESC"), sa.text("query_id")]
    op.create_index("queries_listed", "queries", newest_first)
    op.create_index("queries_without_hits", "queries", newest_first, sqlite_where=sa.text("has_hits = 0"))
    op.create_index("queries_by_time", "queries", ["time_ms"])
    op.create_table(
        "feedback",
        sa.Column("catalog", sa.Text, primary_key=True),
        sa.Column("query_id", sa.Text, primary_key=True),
        sa.Column("product_id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("time_ms", sa.Integer, nullable=False),
        sa.Column("feedback", sa.LargeBinary, nullable=False),
    )

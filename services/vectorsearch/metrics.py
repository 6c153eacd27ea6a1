"""What a shard tells Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from services.mesh import stages
from services.vectorsearch.search import PLANS
from services.vectorsearch.shard import CatalogSize

ROWS = Gauge("vitrine_vectorsearch_rows", "Photos held.")
PRODUCTS = Gauge("vitrine_vectorsearch_products", "Products held.")
VECTOR_BYTES = Gauge("vitrine_vectorsearch_vector_bytes", "Bytes of vectors in memory.")
REVISION = Gauge("vitrine_vectorsearch_revision", "Log revision applied last.")
LAG_REVISIONS = Gauge("vitrine_vectorsearch_lag_revisions", "Revisions that the feed is ahead.")
FOLLOWING = Gauge("vitrine_vectorsearch_following", "1 while the feed is connected.")
CHANGES = Counter("vitrine_vectorsearch_changes", "Changes received from the feed.", ["outcome"])
SEARCHES = Counter("vitrine_vectorsearch_searches", "Searches by plan.", ["plan"])
SNAPSHOTS = Counter("vitrine_vectorsearch_snapshots", "Snapshots written.", ["outcome"])
SNAPSHOT_SECONDS = Histogram("vitrine_vectorsearch_snapshot_seconds", "Time to write a snapshot.")


def declare() -> None:
    """Let every series exist from the start, at zero."""
    for outcome in ("applied", "refused"):
        CHANGES.labels(outcome)
    for plan in PLANS:
        SEARCHES.labels(plan)
    for outcome in ("ok", "failed"):
        SNAPSHOTS.labels(outcome)
    stages.declare(("filter", "search"))


def state(sizes: list[CatalogSize], *, revision: int, feed_revision: int) -> None:
    """Set what is held and how far it lags."""
    ROWS.set(sum(size.rows for size in sizes))
    PRODUCTS.set(sum(size.products for size in sizes))
    VECTOR_BYTES.set(sum(size.vector_bytes for size in sizes))
    REVISION.set(revision)
    LAG_REVISIONS.set(max(0, feed_revision - revision))

"""What a shard tells Prometheus."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Iterable

from prometheus_client import Counter, Gauge, Histogram

from services.mesh import stages
from services.mesh.batching.metrics import ItemMetrics, StageMetrics
from services.vectorsearch.search import PLANS
from services.vectorsearch.shard import GenerationSize

ROWS = Gauge("vitrine_vectorsearch_rows", "Photos held.")
DEAD_ROWS = Gauge(
    "vitrine_vectorsearch_dead_rows", "Rows of products that are gone or were written anew, until compacted."
)
COMPACTIONS = Counter("vitrine_vectorsearch_compactions", "Segments that were emptied of what lived in them.")
PRODUCTS = Gauge("vitrine_vectorsearch_products", "Products held.")
VECTOR_BYTES = Gauge("vitrine_vectorsearch_vector_bytes", "Bytes of vectors in memory.")
REVISION = Gauge("vitrine_vectorsearch_revision", "Log revision applied last.")
LAG_REVISIONS = Gauge("vitrine_vectorsearch_lag_revisions", "Revisions that the feed is ahead.")
LAG_SECONDS = Gauge(
    "vitrine_vectorsearch_lag_seconds",
    "For how long the shard has not known itself at the head of the feed; 0 while it does.",
)
FOLLOWING = Gauge("vitrine_vectorsearch_following", "1 while the feed is connected.")
CHANGES = Counter("vitrine_vectorsearch_changes", "Changes received from the feed.", ["outcome"])
SEARCHES = Counter("vitrine_vectorsearch_searches", "Searches by plan.", ["plan"])
ITEMS = ItemMetrics("vitrine_vectorsearch")
SEARCH = StageMetrics("vitrine_vectorsearch", "threads")
SNAPSHOTS = Counter("vitrine_vectorsearch_snapshots", "Snapshots written.", ["outcome"])
SNAPSHOT_AGE_SECONDS = Gauge(
    "vitrine_vectorsearch_snapshot_age_seconds",
    "Since the newest snapshot was last known to hold all that there was, or else since the start.",
)
SNAPSHOT_SECONDS = Histogram("vitrine_vectorsearch_snapshot_seconds", "Time to write a snapshot.")
INDEX_RECALL = Gauge(
    "vitrine_vectorsearch_index_recall",
    "Recall over the first k, measured when the approximate index built last was built.",
    ["space", "kind", "k"],
)
INDEX_BYTES = Gauge("vitrine_vectorsearch_index_bytes", "Bytes of approximate indexes.", ["space", "kind"])
INDEX_BUILDS = Counter("vitrine_vectorsearch_index_builds", "Approximate indexes built.", ["outcome"])
INDEX_BUILD_SECONDS = Histogram(
    "vitrine_vectorsearch_index_build_seconds",
    "Time to build an approximate index.",
    buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000),
)
JOURNAL_BYTES = Gauge("vitrine_vectorsearch_journal_bytes", "Bytes journaled since the newest snapshot.")
JOURNAL_FAILURES = Counter("vitrine_vectorsearch_journal_failures", "Times that the journal was stopped.")


def declare() -> None:
    """Let every series exist from the start, at zero."""
    for outcome in ("applied", "refused"):
        CHANGES.labels(outcome)
    for plan in PLANS:
        SEARCHES.labels(plan)
    for outcome in ("ok", "failed"):
        SNAPSHOTS.labels(outcome)
    for outcome in ("ok", "failed", "stopped"):
        INDEX_BUILDS.labels(outcome)
    stages.declare(("filter", "search"))


def indexes(held: Iterable[tuple[str, str, int]]) -> None:
    """Set the bytes of the approximate indexes in use, given the space, kind and bytes of each."""
    totals: Counts[tuple[str, str]] = Counts()
    for space, kind, nbytes in held:
        totals[space, kind] += nbytes
    INDEX_BYTES.clear()
    for labels, nbytes in totals.items():
        INDEX_BYTES.labels(*labels).set(nbytes)


def state(sizes: list[GenerationSize], *, revision: int, feed_revision: int) -> None:
    """Set what is held and how far it lags."""
    ROWS.set(sum(size.rows for size in sizes))
    DEAD_ROWS.set(sum(size.dead_rows for size in sizes))
    PRODUCTS.set(sum(size.products for size in sizes))
    VECTOR_BYTES.set(sum(size.memory_bytes for size in sizes))
    REVISION.set(revision)
    LAG_REVISIONS.set(max(0, feed_revision - revision))

"""What stages and admission tell of themselves, for people and for autoscalers."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from services.mesh.batching.busy import BusyTime
from services.mesh.errors import DeadlineExceeded, InvalidArgument, VitrineError
from services.mesh.metrics import LATENCY_BUCKETS_S

_ITEMS_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_OUTCOMES = ("ok", "bad", "refused", "left", "late", "failed")

# Why items were turned away: no room for them at the door, no time for them there, no time left later on.
FULL_ITEMS, FULL_BYTES, NO_TIME, EXPIRED = "full_items", "full_bytes", "no_time", "expired"


class StageMetrics:
    """Prometheus metrics of one stage, such as `vitrine_embedder_queue_items`."""

    def __init__(self, prefix: str, worker: str, registry: CollectorRegistry = REGISTRY) -> None:
        """`worker` is what does the work: the `device`, the `threads`."""
        self.busy = BusyTime()
        self._queue_items = Gauge(
            f"{prefix}_queue_items", f"Items that wait for the {worker}.", registry=registry
        )
        self._batch_items = Histogram(
            f"{prefix}_batch_items", "Items in a batch.", buckets=_ITEMS_BUCKETS, registry=registry
        )
        self._queue_seconds = Histogram(
            f"{prefix}_queue_seconds",
            f"Time an item waited for the {worker}.",
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        Gauge(
            f"{prefix}_{worker}_busy_ratio",
            f"Share of the last 10 seconds in which the {worker} worked.",
            registry=registry,
        ).set_function(lambda: self.busy.ratio)

    def waiting(self, items: int) -> None:
        """So many wait now."""
        self._queue_items.set(items)

    def formed(self, queue_s: Iterable[float]) -> None:
        """A batch was formed of items that waited so long."""
        items = 0
        for duration_s in queue_s:
            self._queue_seconds.observe(duration_s)
            items += 1
        self._batch_items.observe(items)


class ItemMetrics:
    """Prometheus metrics of what was admitted and how it ended, such as `vitrine_embedder_inflight`."""

    def __init__(
        self, prefix: str, registry: CollectorRegistry = REGISTRY, *, bad_reasons: Iterable[str] = ()
    ) -> None:
        """`bad_reasons` are those for which items themselves are refused, as errors have them."""
        self._inflight = Gauge(
            f"{prefix}_inflight", "Items admitted and not yet done with.", registry=registry
        )
        self._items = Counter(f"{prefix}_items", "Items by how they ended.", ["outcome"], registry=registry)
        for outcome in _OUTCOMES:
            self._items.labels(outcome)
        self._rejected = Counter(
            f"{prefix}_rejected", "Items that were turned away, by why.", ["reason"], registry=registry
        )
        for reason in (FULL_ITEMS, FULL_BYTES, NO_TIME, EXPIRED, *map(str.lower, bad_reasons)):
            self._rejected.labels(reason)

    def inflight(self, items: int) -> None:
        """So many are admitted now."""
        self._inflight.set(items)

    def refused(self, items: int, reason: str) -> None:
        """So many were turned away at the door, for want of room or time."""
        self._items.labels("refused").inc(items)
        self._rejected.labels(reason).inc(items)

    def ended(self, outcome: object, *, left: bool) -> None:
        """An item is done with; `left` when nobody waits for it any more."""
        self._items.labels("left" if left else _name(outcome)).inc()
        if left:
            return
        if isinstance(outcome, InvalidArgument):
            self._rejected.labels(outcome.reason.lower()).inc()
        elif isinstance(outcome, DeadlineExceeded):
            self._rejected.labels(EXPIRED).inc()


def _name(outcome: object) -> str:
    if isinstance(outcome, InvalidArgument):
        return "bad"
    if isinstance(outcome, DeadlineExceeded):
        return "late"
    return "failed" if isinstance(outcome, VitrineError) else "ok"

"""What the gateway's counters have come to, for those who are shown it."""

from __future__ import annotations

from collections import defaultdict

from prometheus_client import Counter, Gauge

from services.gateway import metrics
from vitrine.v1 import status_pb2


def searches() -> status_pb2.SearchCounts:
    """What became of the searches since the process was started."""
    counts = _by_labels(metrics.CACHE, "outcome")
    return status_pb2.SearchCounts(**{outcome: int(count) for (outcome,), count in counts.items()})


def cache_lookups() -> list[status_pb2.CacheLookups]:
    """What was looked for in each layer of the cache since then, of each kind."""
    counts: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for (layer, kind, outcome), count in _by_labels(
        metrics.CACHE_LOOKUPS, "layer", "kind", "outcome"
    ).items():
        counts[layer, kind][outcome] = int(count)
    saved_s = _by_labels(metrics.CACHE_SAVED_SECONDS, "layer", "kind")
    return [
        status_pb2.CacheLookups(
            layer=layer, kind=kind, saved_s=round(saved_s.get((layer, kind), 0.0), 3), **outcomes
        )
        for (layer, kind), outcomes in counts.items()
    ]


def cache_bytes() -> int:
    """What the cache in memory holds, in bytes."""
    return int(_by_labels(metrics.CACHE_BYTES)[()])


def _by_labels(metric: Counter | Gauge, *names: str) -> dict[tuple[str, ...], float]:
    """The values of a metric by its labels, without the time when each counter was made."""
    return {
        tuple(sample.labels[name] for name in names): sample.value
        for family in metric.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }

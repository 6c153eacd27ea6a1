"""How often a cache is looked into, and what came of it."""

from __future__ import annotations

from prometheus_client import Counter

from services.gateway import metrics
from services.gateway.cache.interface import KINDS, Kind


class LookupCounter:
    """Counts for one layer; what is counted on each search is looked up once."""

    def __init__(self, layer: str) -> None:
        def counters(outcome: str) -> dict[Kind, Counter]:
            return {kind: metrics.CACHE_LOOKUPS.labels(layer, kind, outcome) for kind in KINDS}

        self._hits, self._misses = counters("hit"), counters("miss")
        self._failures, self._skips = counters("failed"), counters("skipped")
        self._saved_s = {kind: metrics.CACHE_SAVED_SECONDS.labels(layer, kind) for kind in KINDS}

    def hit(self, kind: Kind, cost_s: float) -> None:
        """A value was found that took `cost_s` seconds to make."""
        self._hits[kind].inc()
        self._saved_s[kind].inc(cost_s)

    def missed(self, kind: Kind) -> None:
        """Nothing was found, or nothing that is young enough."""
        self._misses[kind].inc()

    def failed(self, kind: Kind) -> None:
        """The cache could not be asked."""
        self._failures[kind].inc()

    def skipped(self, kind: Kind) -> None:
        """The cache was left alone, since it failed a moment ago."""
        self._skips[kind].inc()

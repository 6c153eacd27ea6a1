"""How many requests a second one caller may make: a token bucket each.

It is kept as GCRA, the generic cell rate algorithm, which is the same bucket as one number: the time at which
it would be full again. Source: ITU-T I.371 (2004), annex A.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

BURST_S = 2.0
"""A full bucket holds what may be made in this time."""

MAX_BUCKETS = 100_000

# Sums of many intervals are off by less than this.
_ROUNDING_S = 1e-6


class Allowance:
    """What a rate allows: `interval_s` between requests for long, `tolerance_s` of them made at once."""

    __slots__ = ("interval_s", "tolerance_s")

    def __init__(self, rate_per_s: float) -> None:
        self.interval_s = 1.0 / rate_per_s
        burst = max(1.0, rate_per_s * BURST_S)
        self.tolerance_s = (burst - 1.0) * self.interval_s


class Buckets:
    """Counts requests by key in the memory of this process, of at most `most` callers."""

    def __init__(self, *, most: int = MAX_BUCKETS, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        # The time at which each would be full; those used longest ago first.
        self._full_at_s: OrderedDict[str, float] = OrderedDict()

    async def take(self, key: str, rate_per_s: float) -> float:
        """As `take_now`, for those who take turns with limiters that have to wait."""
        return self.take_now(key, rate_per_s)

    def take_now(self, key: str, rate_per_s: float) -> float:
        """Count a request and return 0, or return the seconds until there is room for one."""
        wait_s = self.wait_s(key, rate_per_s)
        if wait_s:
            return wait_s
        full_at_s = max(self._full_at_s.get(key, 0.0), self._clock())
        self._full_at_s[key] = full_at_s + Allowance(rate_per_s).interval_s
        self._full_at_s.move_to_end(key)
        if len(self._full_at_s) > self._most:
            self._full_at_s.popitem(last=False)
        return 0.0

    def wait_s(self, key: str, rate_per_s: float) -> float:
        """Seconds until there is room for a request; nothing is counted."""
        full_at_s = self._full_at_s.get(key)
        if full_at_s is None:
            return 0.0
        wait_s = full_at_s - self._clock() - Allowance(rate_per_s).tolerance_s
        return wait_s if wait_s > _ROUNDING_S else 0.0

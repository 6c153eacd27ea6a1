"""When a slow replica is worth asking a second one, and how often that may be.

After Dean and Barroso, "The Tail at Scale", Communications of the ACM 56(2), 2013: the second request goes
out once the first has taken longer than the 95th percentile of its kind, and few of all requests may.
"""

from __future__ import annotations

from collections import deque

PERCENTILE = 0.95
# Fewer samples tell nothing of a percentile this high.
MIN_SAMPLES = 50
WINDOW_SAMPLES = 512
# The percentile is taken anew after so many: sorting the window at every call would cost more than it tells.
_SAMPLES_A_LOOK = 16

BUDGET_SHARE = 0.05
# What calls without a hedge have saved up lets this many follow each other.
MAX_TOKENS = 10.0


class Latencies:
    """The recent latencies of one kind of call, bounded in number."""

    def __init__(self) -> None:
        self._window: deque[float] = deque(maxlen=WINDOW_SAMPLES)
        self._unseen = 0
        self._slow_s: float | None = None

    def add(self, latency_s: float) -> None:
        """Take one more; the oldest goes."""
        self._window.append(latency_s)
        self._unseen += 1

    @property
    def slow_s(self) -> float | None:
        """What 95% of them stayed below; None while there are fewer than MIN_SAMPLES."""
        if len(self._window) < MIN_SAMPLES:
            return None
        if self._slow_s is None or self._unseen >= _SAMPLES_A_LOOK:
            self._slow_s = sorted(self._window)[int(len(self._window) * PERCENTILE)]
            self._unseen = 0
        return self._slow_s


class HedgeBudget:
    """A bucket of tokens: each call puts in a twentieth, each hedge takes one."""

    def __init__(self) -> None:
        self._tokens = 0.0

    def earn(self) -> None:
        """Count one call."""
        self._tokens = min(self._tokens + BUDGET_SHARE, MAX_TOKENS)

    def spend(self) -> bool:
        """Whether one more hedge may be sent; then it counts."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

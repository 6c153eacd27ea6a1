"""Leaves alone what has just failed (the circuit breaker of M. Nygard, "Release It!", 2007)."""

from __future__ import annotations

import time
from collections.abc import Callable

from services.mesh.backoff import Backoff

# The least pause is 1 s, the longest 12 to 15 s.
FIRST_S = 1.25
LONGEST_S = 15.0
JITTER = 0.2
# A try that nobody has reported after this long does not keep others from trying.
TRIAL_S = 1.0


class Breaker:
    """Whether something may be asked: after a failure not for a growing while, then by one at a time."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._backoff = Backoff(initial_s=FIRST_S, max_s=LONGEST_S, jitter=JITTER)
        self._failed_at_s = 0.0
        self._rests_until_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the last that is known is a failure."""
        return self._backoff.failures > 0

    def allows(self) -> bool:
        """Whether to ask now; who is told so reports what came of it."""
        if not self.is_open:
            return True
        now_s = self._clock()
        if now_s < self._rests_until_s:
            return False
        self._rests_until_s = now_s + TRIAL_S
        return True

    def failed(self, began_s: float) -> bool:
        """What was begun then has failed; whether that is news: many that fail at once are one failure."""
        if self.is_open and began_s <= self._failed_at_s:
            return False
        self._failed_at_s = self._clock()
        self._rests_until_s = self._failed_at_s + self._backoff.next_s()
        return True

    def succeeded(self, began_s: float) -> bool:
        """What was begun then has worked; whether that is news."""
        if not self.is_open or began_s <= self._failed_at_s:
            return False
        self._backoff.reset()
        return True

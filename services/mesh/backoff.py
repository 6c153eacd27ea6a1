"""How long to wait before the next try."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass
class Backoff:
    """Delays that grow by `factor` from `initial_s` to `max_s`, until `reset`.

    A share of each delay, `jitter`, is random, so that clients of a restarted server do not return at once.
    """

    initial_s: float = 0.25
    factor: float = 2.0
    max_s: float = 30.0
    jitter: float = 0.0
    failures: int = 0

    def next_s(self) -> float:
        """Seconds to wait after one more failure."""
        # Beyond 64 doublings any limit is long reached, and floats would overflow.
        delay_s = min(self.initial_s * self.factor ** min(self.failures, 64), self.max_s)
        self.failures += 1
        return delay_s * random.uniform(1 - self.jitter, 1)

    def reset(self) -> None:
        """All is well again: the next failure counts as the first."""
        self.failures = 0

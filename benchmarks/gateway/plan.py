"""How long everything is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is done. `rounds` are repeated whole and their median is taken."""

    name: str
    rounds: int
    warmup: int
    queries: int
    cached_queries: int
    keys: int
    callers: int
    callers_s: float
    http_queries: int


FULL = Plan("full", 5, 200, 400, 6_000, 1_000, 64, 60.0, 300)
QUICK = Plan("quick", 1, 20, 40, 200, 50, 16, 3.0, 30)

WRITES_PER_S = 10.0
ZIPF_EXPONENT = 1.1
# Longer than a round: what is found in the cache is measured, and products are as they are now all the same.
CACHED_STALENESS_S = 600
CACHED_CALLERS = 8

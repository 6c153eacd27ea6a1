"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.peers.model import Variant


@dataclass(frozen=True, slots=True)
class Plan:
    """Counts and seconds of every part. `sweep_s` is a batch size's share of one pass over all of them."""

    callers: int = 64
    photos: int = 256
    batches: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    parallel_batches: tuple[int, ...] = (1, 2, 4, 8)
    naive_batches: tuple[int, ...] = (1, 4, 16)
    sweep_passes: int = 3
    sweep_s: float = 0.4
    rounds: int = 6
    bare_s: float = 1.5
    served_s: float = 3.0
    singles: int = 25
    quiet_rounds: int = 3
    quiet_s: float = 5.0
    overload_rounds: int = 3
    overload_s: float = 6.0
    departures_s: float = 10.0
    variants: tuple[Variant, ...] = ("naive", "tuned")
    peer_s: float = 8.0


FULL = Plan()

# Every part once and short: to see that all of it works, not to know how fast.
QUICK = Plan(
    callers=8,
    photos=32,
    batches=(1, 8),
    parallel_batches=(4,),
    naive_batches=(4,),
    sweep_passes=1,
    sweep_s=0.2,
    rounds=1,
    bare_s=0.5,
    served_s=1.0,
    singles=5,
    quiet_rounds=1,
    quiet_s=1.0,
    overload_rounds=1,
    overload_s=1.0,
    departures_s=1.5,
    variants=("tuned",),
    peer_s=1.0,
)

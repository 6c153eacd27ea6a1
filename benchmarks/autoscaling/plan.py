"""How much is measured and simulated."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """Counts and seconds of every part."""

    starts: int = 3
    photos: int = 64
    singles: int = 60
    callers: tuple[int, ...] = (2, 4, 6, 8, 12, 16, 20, 32)
    sweeps: int = 2
    window_s: float = 2.0
    points: tuple[float, ...] = (0.6, 1.2)
    point_s: float = 20.0
    point_deadline_s: float = 1.0
    targets: int = 19
    seeds: tuple[int, ...] = (1, 2)
    hold_s: float = 120.0
    rise_s: float = 240.0
    crest_s: float = 90.0
    card_hold_s: float = 100.0
    quick: bool = False


FULL = Plan()

# Every part once and short: to see that all of it works, not to know how fast.
QUICK = Plan(
    starts=1,
    photos=8,
    singles=10,
    callers=(4, 12),
    sweeps=1,
    point_s=3.0,
    targets=2,
    seeds=(1,),
    hold_s=10.0,
    rise_s=10.0,
    crest_s=5.0,
    card_hold_s=2.0,
    quick=True,
)

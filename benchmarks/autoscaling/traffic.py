"""Who comes when: Poisson arrivals of a rate that changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_STEP_S = 0.05


@dataclass(frozen=True, slots=True)
class Profile:
    """`name`, and the rate in arrivals a second at certain times, on straight lines between them.

    `surge_s` is when the rate starts to rise.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    surge_s: float

    @property
    def end_s(self) -> float:
        """When it is over."""
        return self.points[-1][0]


def step(base: float, factor: float, *, before_s: float = 30.0, hold_s: float = 180.0) -> Profile:
    """`base` a second, then `factor` times as many from one moment to the next."""
    top = base * factor
    end_s = before_s + hold_s
    points = ((0.0, base), (before_s, base), (before_s, top), (end_s, top))
    return Profile("step", points, before_s)


def ramp(
    base: float, factor: float, *, before_s: float = 30.0, rise_s: float = 240.0, hold_s: float = 60.0
) -> Profile:
    """`base` a second, growing evenly to `factor` times as many."""
    top = base * factor
    up_s, end_s = before_s + rise_s, before_s + rise_s + hold_s
    return Profile("ramp", ((0.0, base), (before_s, base), (up_s, top), (end_s, top)), before_s)


def waves(
    base: float,
    factor: float,
    *,
    crests: int,
    before_s: float = 30.0,
    hold_s: float = 120.0,
    lull_s: float = 240.0,
    after_s: float = 420.0,
) -> Profile:
    """As `step`, and back to `base`; `crests` times, with `lull_s` between them and `after_s` at the end."""
    top = base * factor
    points = [(0.0, base)]
    for crest in range(crests):
        up_s = before_s + crest * (hold_s + lull_s)
        down_s = up_s + hold_s
        points += [(up_s, base), (up_s, top), (down_s, top), (down_s, base)]
    points.append((points[-1][0] + after_s, base))
    return Profile("waves", tuple(points), before_s)


def arrivals(profile: Profile, seed: int) -> npt.NDArray[np.float64]:
    """Times of arrivals, growing, float64 [n]: a unit Poisson process on the clock of the summed rate."""
    grid = np.arange(0.0, profile.end_s + _STEP_S / 2, _STEP_S)
    at, rates = zip(*profile.points, strict=True)
    # Each step at the rate of its middle, so that a jump is one.
    steps = np.interp(grid[:-1] + _STEP_S / 2, at, rates) * _STEP_S
    summed = np.concatenate(([0.0], np.cumsum(steps)))
    chance = np.random.default_rng(seed)
    count = int(chance.poisson(summed[-1]))
    times: npt.NDArray[np.float64] = np.interp(np.sort(chance.uniform(0.0, summed[-1], count)), summed, grid)
    return times


def constant(rate: float, seconds: float) -> Profile:
    """The same rate all the time."""
    return Profile("constant", ((0.0, rate), (seconds, rate)), 0.0)

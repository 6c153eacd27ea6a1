"""How sure a ratio of two ways is that were measured in pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_DRAWS = 20_000
_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A ratio, and the bounds that it is between with 95% confidence."""

    ratio: float
    low: float
    high: float

    def percent_more(self) -> dict[str, float]:
        """By how many percent the first is more than the second."""
        return {
            name: round((value - 1) * 100, 2)
            for name, value in (("percent", self.ratio), ("low", self.low), ("high", self.high))
        }


def ratio_of_sums(first: Sequence[float], second: Sequence[float]) -> Interval:
    """The ratio of the sums of two ways, measured in the same rounds; one value of each a round.

    The bounds are percentiles of a paired bootstrap over rounds (Efron and Tibshirani 1993, "An Introduction
    to the Bootstrap", chapter 13).
    """
    if len(first) != len(second) or not first:
        raise ValueError("one or more rounds, and in each a value of both ways")
    pairs = np.array([first, second], float)
    drawn = np.random.default_rng(11).integers(0, len(first), (_DRAWS, len(first)))
    sums = pairs[:, drawn].sum(axis=2)
    rest = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(sums[0] / sums[1], [rest, 1 - rest])
    return Interval(float(pairs[0].sum() / pairs[1].sum()), float(low), float(high))

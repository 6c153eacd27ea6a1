"""Figures with the interval that another sample of queries would have left them in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

RESAMPLES = 1_000
CONFIDENCE = 0.95

_DIGITS = 6
_SEED = 0


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure over `n` queries and its 95% interval."""

    value: float
    low: float
    high: float
    n: int

    def as_json(self) -> dict[str, float]:
        """As `--json` prints it."""
        return {
            "value": round(self.value, _DIGITS),
            "low": round(self.low, _DIGITS),
            "high": round(self.high, _DIGITS),
            "n": self.n,
        }


def mean(values: Doubles) -> Figure | None:
    """The mean of the queries that count: float64 [n], NaN for one that does not; None without any."""
    counted = values[~np.isnan(values)]
    return ratio(counted, np.ones(len(counted)))


def ratio(numerators: Doubles, denominators: Doubles) -> Figure | None:
    """The sum of all numerators by that of all denominators, float64 [n]; None where that is 0.

    Its interval is the percentile bootstrap's (Efron and Tibshirani 1993, chapter 13): queries are drawn with
    replacement, a numerator together with its denominator, so that two rankings of the same queries are
    compared in pairs. Queries with the same two numbers are drawn together, as many as the multinomial
    distribution gives, which is the same and quick. Draws whose denominators are all 0 are left out.
    """
    if not denominators.sum():
        return None
    pairs, counts = np.unique(np.stack([numerators, denominators], axis=1), axis=0, return_counts=True)
    drawn = np.random.default_rng(_SEED).multinomial(len(numerators), counts / counts.sum(), RESAMPLES)
    above, below = (drawn @ pairs).T
    usable = below > 0
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(above[usable] / below[usable], [tail, 100 - tail])
    value = float(numerators.sum() / denominators.sum())
    return Figure(value, float(low), float(high), len(numerators))

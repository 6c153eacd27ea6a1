"""The ranges in which numbers are counted: always the same, so that the counts of shards can be added up."""

from __future__ import annotations

import sys

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Places = npt.NDArray[np.int16]

# Round ends within a power of ten, each at most 1.7 times the one before.
_STEPS = ("1", "1.5", "2", "3", "5", "7")
# All powers of ten that doubles have.
_POWERS = range(-324, 309)


def _all_ends() -> Numbers:
    # What is read from digits is the double next to it, which no product of a step and a power need be.
    read = {float(f"{step}e{power}") for step in _STEPS for power in _POWERS}
    # Steps beyond what doubles reach are read as 0 and as infinite. JSON has no infinite number, so the
    # greatest double is the last end.
    ends = [*sorted(end for end in read if 0 < end < sys.float_info.max), sys.float_info.max]
    return np.array([*(-end for end in reversed(ends)), 0.0, *ends])


_ENDS = _all_ends()
_LAST = len(_ENDS) - 2


def places_of(numbers: Numbers) -> Places:
    """The place of each finite number's range among all, in order of size: int16 of the same shape."""
    places = np.searchsorted(_ENDS, numbers, side="right") - 1
    # Nothing is above the greatest double, which so belongs to the range that it ends.
    return np.minimum(places, _LAST).astype(np.int16)


def ends_of(place: int) -> tuple[float, float]:
    """The lower end of a range, which belongs to it, and the upper, which does not; twice 0 for that of 0."""
    low, high = _ENDS[place : place + 2].tolist()
    # From 0 to the least double there is no other number.
    return low, 0.0 if low == 0 else high

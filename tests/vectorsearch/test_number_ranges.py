from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.vectorsearch.number_ranges import ends_of, places_of

numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.builds(
        lambda step, power, sign: sign * float(f"{step}e{power}"),
        st.sampled_from(["1", "1.5", "2", "3", "5", "7"]),
        st.integers(-323, 307),
        st.sampled_from([1, -1]),
    ),
)


def place_of(number: float) -> int:
    return int(places_of(np.array([number]))[0])


def range_of(number: float) -> tuple[float, float]:
    return ends_of(place_of(number))


@given(numbers)
def test_every_number_is_in_one_range(number: float) -> None:
    """It is below the upper end but not below the lower, and the next range begins where this one ends."""
    low, high = range_of(number)
    assert low <= number < high or number == low == high == 0 or abs(number) == sys.float_info.max
    if abs(number) < 1e308:
        # Beside 0 is the least double.
        assert ends_of(place_of(number) + 1)[0] == (high if number else 5e-324)


@given(numbers)
def test_ends_are_read_from_few_digits(number: float) -> None:
    """They are 0, or 1, 1.5, 2, 3, 5 or 7 times a power of ten, to the last bit."""
    for end in range_of(number):
        if abs(end) in (0, sys.float_info.max):
            continue
        power = math.floor(math.log10(abs(end)))
        powers = range(max(power - 1, -324), min(power + 2, 309))
        assert abs(end) in {float(f"{step}e{n}") for step in (1, 1.5, 2, 3, 5, 7) for n in powers}


@given(numbers, numbers)
def test_places_are_in_order_of_size(one: float, other: float) -> None:
    """Of two numbers the smaller is in no later range."""
    low, high = sorted((one, other))
    assert place_of(low) <= place_of(high)


@pytest.mark.parametrize(
    ("number", "low", "high"),
    [
        (39.9, 30, 50),
        (50, 50, 70),
        (49.99, 30, 50),
        (0.3, 0.3, 0.5),
        (0.1 + 0.2, 0.3, 0.5),
        (0.29999999999999993, 0.2, 0.3),
        (1e22, 1e22, 1.5e22),
        (0, 0, 0),
        (-0.0, 0, 0),
        (-1, -1, -0.7),
        (-1.2, -1.5, -1),
        (5e-324, 5e-324, 1e-323),
        (-5e-324, -5e-324, 0),
        (sys.float_info.max, 1.5e308, sys.float_info.max),
        (-sys.float_info.max, -sys.float_info.max, -1.5e308),
    ],
)
def test_ranges(number: float, low: float, high: float) -> None:
    """A lower end belongs to its range and an upper one does not, on both sides of 0."""
    assert range_of(number) == (low, high)

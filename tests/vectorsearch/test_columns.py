from __future__ import annotations

from bisect import bisect_right
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.vectorsearch.columns import Column, Value

# Some of all ends, those from 0.1 to 70 either way, with the ends of the ranges that -0.1 and 0 are in.
POSITIVE = [float(f"{step}e{n}") for n in (-1, 0, 1) for step in (1, 1.5, 2, 3, 5, 7)]
ENDS = [*(-end for end in reversed(POSITIVE)), -0.07, 0.0, *POSITIVE]

values = st.one_of(
    st.sampled_from([*POSITIVE[:-1], *(-end for end in POSITIVE), 0.0, -0.0]),
    st.floats(0.1, 69),
    st.floats(-69, -0.1),
    st.sampled_from(["red", "12"]),
    st.booleans(),
)
products = st.lists(st.tuples(st.lists(values, max_size=5), st.booleans()), max_size=30)


@given(products)
def test_ranges_count_products(given_products: list[tuple[list[Value], bool]]) -> None:
    """A product that passes counts once in every range that it has a number in; texts and flags in none."""
    column = Column()
    expected: Counter[tuple[float, float]] = Counter()
    # The last slots come first, so that columns are longer than what is asked of them, or shorter.
    for slot, (its, passes) in reversed(list(enumerate(given_products))):
        column.put(slot, its)
        places = {bisect_right(ENDS, number) - 1 for number in its if type(number) is float}
        if passes:
            expected.update(
                (0.0, 0.0) if ENDS[place] == 0 else (ENDS[place], ENDS[place + 1]) for place in places
            )
    passing = np.array([passes for _, passes in given_products], dtype=np.bool_)
    assert column.ranges(passing) == [(*ends, count) for ends, count in sorted(expected.items())]


def test_numbers_that_nobody_has_any_more_are_in_no_range() -> None:
    """Nor do those of products that do not pass count; a column without numbers has no ranges."""
    column = Column()
    column.put(1, [39.9, 45.0])
    column.put(2, [12.0, "free"])
    column.put(40, [39.0])
    everyone = np.ones(41, dtype=np.bool_)
    assert column.ranges(everyone) == [(10, 15, 1), (30, 50, 2)]
    assert column.ranges(everyone[:3]) == [(10, 15, 1), (30, 50, 1)]
    column.put(2, ["free"])
    column.clear(40)
    assert column.ranges(everyone) == [(30, 50, 1)]
    column.put(1, [True])
    assert column.ranges(everyone) == []

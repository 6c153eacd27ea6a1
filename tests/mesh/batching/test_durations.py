from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mesh.batching.durations import Durations


def test_the_first_guess_holds_until_something_was_run() -> None:
    """Before the first batch each item is taken to last as long as the first guess."""
    assert Durations(0.5).expected_s("images", 4) == pytest.approx(2.0)


def test_a_size_that_was_run_is_expected_to_last_as_long_again() -> None:
    """A duration is learned at once, and later ones move it slowly."""
    durations = Durations(1.0)
    durations.observe("images", 4, 0.2)
    assert durations.expected_s("images", 4) == pytest.approx(0.2)
    durations.observe("images", 4, 1.0)
    assert 0.2 < durations.expected_s("images", 4) < 0.4
    for _ in range(100):
        durations.observe("images", 4, 1.0)
    assert durations.expected_s("images", 4) == pytest.approx(1.0, rel=0.01)


def test_one_batch_that_stood_still_is_not_believed() -> None:
    """A pause of a minute moves the mean no further than four times its own length would."""
    durations = Durations(1.0)
    durations.observe("images", 1, 0.1)
    durations.observe("images", 1, 60.0)
    assert durations.expected_s("images", 1) < 0.15
    for _ in range(60):
        durations.observe("images", 1, 60.0)
    assert durations.expected_s("images", 1) > 30


def test_sizes_in_between_and_beyond_are_derived() -> None:
    """Between two known sizes the line between them holds, below the smaller one, beyond in proportion."""
    durations = Durations(1.0)
    durations.observe("images", 2, 0.2)
    durations.observe("images", 8, 0.5)
    assert durations.expected_s("images", 1) == pytest.approx(0.2)
    assert durations.expected_s("images", 5) == pytest.approx(0.35)
    assert durations.expected_s("images", 16) == pytest.approx(1.0)


def test_an_unknown_kind_is_taken_for_the_slowest_known() -> None:
    """Who was never seen is not promised more than the slowest there is."""
    durations = Durations(9.0)
    durations.observe("texts", 1, 0.01)
    durations.observe("images", 1, 0.1)
    assert durations.expected_s("something else", 1) == pytest.approx(0.1)


@given(
    st.lists(st.tuples(st.integers(1, 256), st.floats(1e-4, 10)), min_size=1, max_size=30),
    st.integers(1, 512),
)
def test_expectations_are_always_positive_and_finite(seen: list[tuple[int, float]], items: int) -> None:
    """Whatever was observed, a batch of any size is expected to end."""
    durations = Durations(0.1)
    for size, duration_s in seen:
        durations.observe("images", size, duration_s)
    assert 0 < durations.expected_s("images", items) < 10 * 512


def test_kinds_that_came_first_are_forgotten() -> None:
    """Callers may make up kinds without end, and what is remembered of them is bounded."""
    durations = Durations(1.0)
    for kind in range(1_000):
        durations.observe(kind, 1, 0.5 if kind else 30.0)
    assert durations.expected_s("unheard of", 1) == 0.5
    assert durations.expected_s(0, 1) == 0.5

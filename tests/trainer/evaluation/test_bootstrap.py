from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.trainer.evaluation import bootstrap

tenths = st.integers(0, 10).map(lambda tenth: tenth / 10)


@given(st.lists(tenths, min_size=1, max_size=60))
def test_an_interval_holds_its_mean_and_stays_within_what_was_measured(values: list[float]) -> None:
    """The mean is the mean, between its ends, and these are no wilder than the wildest query."""
    figure = bootstrap.mean(np.array(values))
    assert figure is not None
    assert figure.value == pytest.approx(np.mean(values))
    assert min(values) - 1e-9 <= figure.low <= figure.value + 1e-9
    assert figure.value - 1e-9 <= figure.high <= max(values) + 1e-9
    assert figure.n == len(values)


def test_it_is_what_drawing_queries_one_by_one_gives() -> None:
    """Drawing equal queries together is the plain percentile bootstrap: ends agree within its own noise."""
    random = np.random.default_rng(1)
    values = random.integers(0, 11, 300) / 10
    means = values[random.integers(0, 300, (20_000, 300))].mean(axis=1)
    figure = bootstrap.mean(values)
    assert figure is not None
    assert figure.low == pytest.approx(np.percentile(means, 2.5), abs=0.006)
    assert figure.high == pytest.approx(np.percentile(means, 97.5), abs=0.006)


def test_a_ratio_compares_the_same_queries() -> None:
    """A ranking that is better by a tenth on every query is better by a tenth, without any doubt."""
    space = np.random.default_rng(2).random(200)
    figure = bootstrap.ratio(1.1 * space, space)
    assert figure is not None
    assert (figure.value, figure.low, figure.high) == pytest.approx((1.1, 1.1, 1.1))


def test_the_same_values_have_the_same_interval() -> None:
    """An interval depends on nothing but the values, in any order."""
    values = np.random.default_rng(3).random(50)
    assert bootstrap.mean(values) == bootstrap.mean(values[::-1])


def test_queries_that_do_not_count_are_left_out() -> None:
    """NaN is no query, and without any there is no figure; nor is there a share of nothing."""
    figure = bootstrap.mean(np.array([np.nan, 1.0, 0.0, np.nan]))
    assert figure is not None
    assert (figure.value, figure.n) == (0.5, 2)
    assert bootstrap.mean(np.array([np.nan])) is None
    assert bootstrap.ratio(np.zeros(3), np.zeros(3)) is None


def test_draws_without_a_denominator_are_left_out() -> None:
    """Where one query alone has anything to count, every draw that has it says the same."""
    figure = bootstrap.ratio(np.array([2.0, 0.0, 0.0]), np.array([4.0, 0.0, 0.0]))
    assert figure is not None
    assert figure.as_json() == {"value": 0.5, "low": 0.5, "high": 0.5, "n": 3}

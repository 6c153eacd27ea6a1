from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.vectorsearch.bar import Bar


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(1, 40), min_size=1, max_size=4),
    st.lists(st.integers(1, 700), min_size=1, max_size=5),
    st.floats(0, 0.1),
)
def test_never_shuts_out_one_of_the_best(
    seed: int, depths: list[int], sizes: list[int], error: float
) -> None:
    """The bar is at most the k-th best exact score, whatever came in what parts, in one bar or in two."""
    rng = np.random.default_rng(seed)
    parts = [rng.normal(size=(len(depths), size)).astype(np.float32) for size in sizes]
    one, other = Bar(depths, [-np.inf] * len(depths)), Bar(depths, [-np.inf] * len(depths))
    for number, part in enumerate(parts):
        (one if number % 2 else other).rise(part, np.full(len(depths), error))
    one.join(other)
    scores = np.sort(np.concatenate(parts, axis=1), axis=1)[:, ::-1]
    for query, depth in enumerate(depths):
        true = scores[query, depth - 1] if depth <= scores.shape[1] else -np.inf
        assert one.levels[query] <= true - error + 1e-6


def test_is_hardly_below_the_true_score() -> None:
    """Of 20,000 rows no more than twice as many as asked for are above the bar."""
    scores = np.random.default_rng(1).normal(size=(3, 20_000)).astype(np.float32)
    depths = [1, 10, 500]
    bar = Bar(depths, [-np.inf] * 3)
    for start in range(0, 20_000, 8192):
        bar.rise(scores[:, start : start + 8192], np.zeros(3))
    above = (scores >= bar.levels[:, None]).sum(axis=1)
    assert (above <= 2 * np.array(depths)).all()
    assert (above >= depths).all()


def test_starts_at_a_floor() -> None:
    """A score that nobody wants below is the bar from the start."""
    bar = Bar([5], [0.25])
    assert bar.levels.tolist() == [0.25]
    bar.rise(np.full((1, 9), 0.1, dtype=np.float32), np.zeros(1))
    assert bar.levels.tolist() == [0.25]


def test_a_thousand_products_of_many_photos_still_set_a_bar() -> None:
    """However rows come in parts, all groups fill up, and hardly more than is wanted is above the bar."""
    scores = np.random.default_rng(2).normal(size=(1, 100_000)).astype(np.float32)
    bar = Bar([20_000], [-np.inf])
    for start in range(0, 100_000, 8192):
        bar.rise(scores[:, start : start + 8192], np.zeros(1))
    assert 20_000 <= (scores >= bar.levels[:, None]).sum() <= 40_000


def test_more_rows_than_there_are_groups_set_no_bar() -> None:
    """Who wants a million rows gets them all."""
    bar = Bar([1_000_000], [-np.inf])
    bar.rise(np.ones((1, 20_000), dtype=np.float32), np.zeros(1))
    assert bar.levels.tolist() == [-np.inf]

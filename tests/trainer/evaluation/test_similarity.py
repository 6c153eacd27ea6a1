from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.trainer.evaluation.similarity import best_photos, nearest


@given(st.integers(0, 999), st.lists(st.integers(1, 4), min_size=1, max_size=6))
def test_a_product_scores_as_its_best_photo(seed: int, counts: list[int]) -> None:
    """Whatever the number of photos; of equally good ones the first counts."""
    scores = np.random.default_rng(seed).integers(0, 3, (3, sum(counts))).astype(np.float32)
    firsts = np.cumsum([0, *counts[:-1]])
    best, photos = best_photos(scores, firsts)
    for row in range(3):
        for product, (first, count) in enumerate(zip(firsts, counts, strict=True)):
            theirs = scores[row, first : first + count]
            assert best[row, product] == theirs.max()
            assert photos[row, product] == first + theirs.argmax()


@given(st.integers(0, 999), st.integers(1, 12))
def test_the_order_is_that_of_sorting(seed: int, depth: int) -> None:
    """Descending scores, ties by place, without the excluded ones, and -1 behind the last."""
    random = np.random.default_rng(seed)
    scores = (random.integers(-2, 3, (2, 9)) / 2).astype(np.float32)
    excluded = [np.flatnonzero(random.random(9) < 0.4) for _ in range(2)]
    order = nearest(scores, excluded, depth)
    for row in range(2):
        left = [product for product in range(9) if product not in excluded[row]]
        wanted = sorted(left, key=lambda product: (-scores[row, product], product))[:depth]
        assert order[row].tolist() == wanted + [-1] * (min(depth, 9) - len(wanted))


def test_scores_are_compared_in_millionths() -> None:
    """What differs less than shards tell apart is in the order of ids."""
    scores = np.array([[0.5, 0.5000002, 0.500002]], dtype=np.float32)
    assert nearest(scores, [np.empty(0, dtype=np.int64)], 3).tolist() == [[2, 0, 1]]

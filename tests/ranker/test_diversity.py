from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ranker.diversity import diverse

# Of length 2, so that every cosine is a whole number of halves and exact in any arithmetic.
_CORNER = st.lists(st.sampled_from([-1.0, 1.0]), min_size=4, max_size=4)
_HITS = st.lists(st.tuples(st.integers(0, 16), st.one_of(_CORNER, st.none())), max_size=12)


def _naive(relevances: list[float], vectors: list[list[float] | None], diversity: float) -> list[int]:
    """The definition of the paper, pair by pair."""
    count = len(relevances)
    cosines: dict[tuple[int, int], float] = {}
    for a, first in enumerate(vectors):
        for b, second in enumerate(vectors):
            if first is not None and second is not None:
                cosines[a, b] = sum(x * y for x, y in zip(first, second, strict=True)) / 4
    known = [cosine for (a, b), cosine in cosines.items() if a != b]
    neutral = sum(known) / len(known) if known else 0.0
    order: list[int] = []
    while len(order) < count:
        left = [place for place in range(count) if place not in order]
        if not order:
            order.append(left[0])
            continue
        worth = {
            place: round(
                (
                    (1 - diversity) * relevances[place]
                    - diversity * max(cosines.get((place, other), neutral) for other in order)
                )
                * 1e6
            )
            for place in left
        }
        order.append(max(left, key=lambda place: (worth[place], -place)))
    return order


@given(_HITS, st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.integers(0, 15))
def test_the_order_is_that_of_the_definition(
    hits: list[tuple[int, list[float] | None]], diversity: float, count: int
) -> None:
    """Next is always what has the highest marginal relevance; hits without a vector are as near as most."""
    hits = sorted(hits, key=lambda hit: -hit[0])
    relevances = [hit[0] / 16 for hit in hits]
    vectors = np.array([hit[1] or [np.nan] * 4 for hit in hits], np.float32).reshape(len(hits), 4)
    found = diverse(np.array(relevances, np.float64), vectors, diversity, count)
    assert found == _naive(relevances, [hit[1] for hit in hits], diversity)[:count]


@given(st.integers(0, 40), st.integers(0, 2**32), st.floats(0, 1))
def test_every_hit_is_there_once_and_the_best_first(count: int, seed: int, diversity: float) -> None:
    """Whatever is wanted, the order has all hits and begins with the best."""
    rng = np.random.default_rng(seed)
    relevances = np.sort(rng.random(count))[::-1]
    found = diverse(relevances, rng.normal(size=(count, 8)).astype(np.float32), diversity, count)
    assert sorted(found) == list(range(count))
    assert found[:1] == [0][:count]


def test_without_diversity_the_order_stays() -> None:
    """At 0 only relevance counts, and equals stay in their order."""
    relevances = np.array([0.9, 0.5, 0.5, 0.5, 0.1])
    assert diverse(relevances, np.ones((5, 3), np.float32), 0.0, 5) == [0, 1, 2, 3, 4]


def test_what_is_there_already_waits() -> None:
    """A near copy of the best hit comes after what looks otherwise; in the end only looks count."""
    relevances = np.array([1.0, 0.99, 0.6, 0.1])
    looks = np.array([[1, 0, 0], [1, 0.01, 0], [0.1, 1, 0], [0, 0, 1]], np.float32)
    assert diverse(relevances, looks, 0.4, 4) == [0, 2, 1, 3]
    assert diverse(relevances, looks, 1.0, 4) == [0, 3, 2, 1]
    assert diverse(relevances, looks, 0.1, 4) == [0, 1, 2, 3]


@pytest.mark.parametrize("scale", [0.01, 1.0, 50.0])
def test_lengths_of_vectors_do_not_count(scale: float) -> None:
    """Only directions are compared; a vector without any is none."""
    looks = np.array([[1, 0], [1, 0.01], [0, 1], [0, 0]], np.float32)
    scaled = looks * np.array([[1], [scale], [scale], [1]], np.float32)
    assert diverse(np.array([1.0, 0.9, 0.8, 0.7]), scaled, 0.5, 4) == [0, 2, 3, 1]

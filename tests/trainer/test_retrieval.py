from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.trainer import retrieval


def unit(random: np.random.Generator, n: int, d: int = 8) -> retrieval.Vectors:
    vectors = random.normal(size=(n, d)).astype(np.float32)
    lengths: retrieval.Vectors = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths


def test_queries_that_equal_their_item_find_it() -> None:
    """Recall is 1 for identical vectors, and counts ranks from the first."""
    vectors = unit(np.random.default_rng(0), 600)
    assert retrieval.recall_at(vectors, vectors, 1) == 1
    assert retrieval.recall_at(np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)[[1, 2, 0]], 1) == 0


@given(st.integers(0, 99), st.integers(1, 5))
def test_neighbour_precision_is_what_sorting_gives(seed: int, k: int) -> None:
    """The blockwise figure equals the plain one, with groups left out."""
    random = np.random.default_rng(seed)
    vectors = unit(random, 20)
    labels = [str(label) for label in random.integers(0, 3, 20)]
    groups = [str(group) for group in random.integers(0, 12, 20)]
    shares = []
    for row in range(20):
        others = [other for other in range(20) if groups[other] != groups[row]]
        scores = vectors @ vectors[row]
        nearest = sorted(others, key=lambda other: -scores[other])[:k]
        shares.append(np.mean([labels[other] == labels[row] for other in nearest]))
    assert retrieval.neighbour_precision(vectors, labels, groups, k) == pytest.approx(np.mean(shares))


def test_precision_of_texts_counts_right_images_among_the_first() -> None:
    """Of the two nearest images one is right."""
    images = np.eye(3, dtype=np.float32)
    text = np.array([[0.8, 0.6, 0.0]], dtype=np.float32)
    right = np.array([[True, False, True]])
    assert retrieval.precision_of_texts(text, images, right, 2) == 0.5

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from services.vectorsearch.first_pass import Pack, Plain, Precision, asked, packed

Floats = npt.NDArray[np.float32]
PRECISIONS: tuple[Precision, ...] = ("flat", "flat16", "sq8")


def numbers(least: float) -> st.SearchStrategy[float]:
    """From nothing to the greatest that is taken, of all sizes."""
    return st.one_of(
        st.floats(-100, 100, width=32),
        st.floats(-least, least, width=32),
        st.sampled_from([0.0, 100.0, -1e-30]),
    )


def matrices(rows: int) -> st.SearchStrategy[Floats]:
    return st.integers(1, 70).flatmap(lambda d: arrays.arrays(np.float32, (rows, d), elements=numbers(0.125)))


def beyond(pack: Pack, matrix: Floats, queries: Floats) -> float:
    """How far the worst score is beyond its bound."""
    ready = asked(queries)
    exact = queries.astype(np.float64) @ matrix.astype(np.float64).T
    bound = pack.error(ready)[:, None]
    return float((np.abs(pack.scores(ready) - exact) - bound).max())


@settings(max_examples=200, deadline=None)
@given(matrices(6), st.sampled_from(PRECISIONS), st.integers(1, 3))
def test_no_score_is_further_off_than_it_says(both: Floats, precision: Precision, queries: int) -> None:
    """Whatever the numbers, a score differs from the exact one by no more than the bound.

    But for what is too small to have a square in float32; a search allows for 2e-6.
    """
    asking, matrix = both[:queries], both[queries:]
    assert beyond(packed(matrix, precision), matrix, asking) <= 1e-15


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("dimension", [3, 64, 129, 2048])
def test_bounds_are_tight_enough_to_tell_neighbours_apart(precision: Precision, dimension: int) -> None:
    """Of normalised vectors a score is known to within a fiftieth; in half precision to a thousandth."""
    rng = np.random.default_rng(dimension)
    raw = rng.normal(size=(600, dimension))
    vectors = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    pack, ready = packed(vectors, precision), asked(vectors[:4])
    assert pack.rows == 600
    assert pack.error(ready).max() <= {"flat": 3e-4, "flat16": 1.2e-3, "sq8": 2e-2}[precision]
    assert beyond(pack, vectors, vectors[:4]) <= 0


def test_takes_less_memory_in_less_precision() -> None:
    """Half precision takes half of what full precision takes, bytes a quarter and a little."""
    vectors = np.random.default_rng(0).normal(0, 0.04, (1024, 512)).astype(np.float32)
    assert packed(vectors, "flat").nbytes == 0
    assert packed(vectors, "flat16").nbytes < 0.52 * vectors.nbytes
    assert packed(vectors, "sq8").nbytes < 0.27 * vectors.nbytes


def test_numbers_that_half_precision_has_not_are_left_as_they_are() -> None:
    """A row beyond 65,504 is scored at full precision."""
    matrix = np.array([[1e5, 1.0], [0.5, 0.25]], dtype=np.float32)
    pack = packed(matrix, "flat16")
    assert isinstance(pack, Plain)
    assert pack.scores(asked(np.array([[0.0, 1.0]], dtype=np.float32))).tolist() == [[1.0, 0.25]]


def test_rows_that_bytes_are_too_coarse_for_come_in_half_precision() -> None:
    """One great number a row takes the steps that the small ones need; one such row is enough."""
    vectors = np.random.default_rng(0).normal(0, 0.04, (256, 512)).astype(np.float32)
    sizes = {precision: packed(vectors, precision).nbytes for precision in PRECISIONS}
    assert packed(vectors, "sq8").nbytes == sizes["sq8"] < sizes["flat16"]
    for row in (0, 200):
        spoiled = vectors.copy()
        spoiled[row, 7] = 3.0
        assert packed(spoiled, "sq8").nbytes == sizes["flat16"]


def test_a_query_of_nothing_scores_nothing() -> None:
    """A weight of 0 makes a query of zeros, which all precisions take."""
    matrix = np.ones((3, 8), dtype=np.float32)
    for precision in PRECISIONS:
        scores = packed(matrix, precision).scores(asked(np.zeros((2, 8), dtype=np.float32)))
        assert scores.tolist() == [[0.0] * 3] * 2

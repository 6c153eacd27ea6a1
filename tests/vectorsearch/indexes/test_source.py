from __future__ import annotations

import numpy as np
import pytest

from services.vectorsearch.indexes.source import CHUNK_ROWS, Source, Stopped, Stretch, Work
from tests.vectorsearch.indexes import sources


def test_chunks_are_all_rows_in_order() -> None:
    """Every row that is alive comes once, in the order of positions, and a bounded number at a time."""
    source = sources.source(5000)
    chunks = list(source.chunks())
    assert np.array_equal(np.concatenate(chunks), sources.everything(source))
    assert max(len(chunk) for chunk in chunks) <= CHUNK_ROWS
    assert source.rows == sum(len(chunk) for chunk in chunks)


def test_rows_side_by_side_are_not_copied() -> None:
    """Where nothing lies between them, rows are read where they are."""
    matrix = np.arange(40, dtype=np.float32).reshape(10, 4)
    view = Stretch(0, np.arange(2, 8), matrix).vectors(1, 4)
    assert np.shares_memory(view, matrix)
    assert np.array_equal(view, matrix[3:6])


def test_rows_are_found_by_position() -> None:
    """Positions may come in any order, and more than once."""
    source = sources.source(5000)
    positions = np.random.default_rng(3).integers(0, source.rows, 300)
    assert np.array_equal(source.vectors_at(positions), sources.everything(source)[positions])


def test_a_sample_is_bounded_and_the_same_for_the_same_seed() -> None:
    """A sample has distinct rows, all of them when there are fewer than asked for, and repeats."""
    source = sources.source(3000)
    some, again = (source.sample(100, np.random.default_rng(7)) for _ in range(2))
    assert some.shape == (100, sources.DIMENSION)
    assert np.array_equal(some, again)
    assert len(np.unique(some, axis=0)) == 100
    assert np.array_equal(source.sample(10_000, np.random.default_rng(7)), sources.everything(source))


def test_wide_rows_make_a_smaller_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a build samples is bounded in bytes too."""
    monkeypatch.setattr("services.vectorsearch.indexes.source._SAMPLE_BYTES", 4 * sources.DIMENSION * 50)
    work = Work(sources.source(3000), np.random.default_rng(0), lambda: False)
    assert len(work.sample(1000)) == 50


def test_a_build_that_is_told_to_stop_reads_no_further() -> None:
    """Whether to stop is asked before every chunk."""
    answers = iter([False, False, True])
    work = Work(sources.source(5000), np.random.default_rng(0), lambda: next(answers))
    read: list[int] = []
    with pytest.raises(Stopped):
        read.extend(len(chunk) for chunk in work.chunks())
    assert len(read) == 2


def test_the_end_is_told_apart_from_the_rows() -> None:
    """What is later than a source is told by a number, whatever rows are alive."""
    source = Source((Stretch(10, np.array([1]), np.ones((4, 2), dtype=np.float32)),), 14)
    assert (source.rows, source.dimension, source.end_row) == (1, 2, 14)

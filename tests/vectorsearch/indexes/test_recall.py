from __future__ import annotations

import numpy as np
import pytest

from services.vectorsearch.columns import Mask
from services.vectorsearch.indexes.recall import RecallTest, over_fetch
from services.vectorsearch.indexes.source import Source, Stretch, Work
from services.vectorsearch.kernels import Floats, Indices
from tests.vectorsearch.indexes import sources


class Every:
    """Reads the first `reach` of `most` parts of all rows, exactly."""

    nbytes = 0

    def __init__(self, source: Source, most: int) -> None:
        self.most = most
        self._rows = sources.everything(source)

    def search(self, queries: Floats, count: int, reach: int, passing: Mask | None) -> Indices:
        read = len(self._rows) * reach // self.most
        found = np.argsort(-(queries @ self._rows[:read].T), axis=1)[:, :count]
        return np.pad(found, ((0, 0), (0, count - found.shape[1])), constant_values=-1)

    def serves(self, passing_rows: int, reach: int) -> bool:
        return False


def work_over(source: Source) -> Work:
    return Work(source, np.random.default_rng(1), lambda: False)


def test_what_finds_everything_has_a_recall_of_one() -> None:
    """An exact search measures 1 over the first ten and the first hundred."""
    source = sources.source(3000)
    test = RecallTest(work_over(source))
    assert test.recall(Every(source, 1), 1, 10) == 1.0
    assert test.recall(Every(source, 1), 1, 100) == 1.0


def test_what_reads_half_of_the_rows_finds_about_half() -> None:
    """Recall is the share of the best rows that are found."""
    source = sources.source(3000)
    assert 0.4 < RecallTest(work_over(source)).recall(Every(source, 2), 1, 10) < 0.6


def test_the_least_reach_is_taken_that_is_enough() -> None:
    """The reach grows by steps of at most a half until the recall suffices."""
    source = sources.source(3000)
    reach, recall = RecallTest(work_over(source)).least_reach(Every(source, 100), 0.7)
    assert recall >= 0.7
    assert 64 <= reach <= 96


def test_a_target_out_of_reach_ends_at_the_greatest() -> None:
    """What cannot be reached is looked for as far as it goes, and the recall is told as it is."""
    source = sources.source(3000)
    reach, recall = RecallTest(work_over(source)).least_reach(Every(source, 100), 1.1)
    assert (reach, recall) == (100, 1.0)


def test_of_equal_rows_any_will_do() -> None:
    """A photo that stands in for thousands of products is found when any of them is."""
    matrix = np.tile(sources.vectors(1), (2000, 1))
    source = Source((Stretch(0, np.arange(2000), matrix),), 2000)
    assert RecallTest(work_over(source)).recall(Every(source, 10), 1, 10) == 1.0


def test_fewer_rows_than_wanted_are_all_wanted() -> None:
    """With seven rows the best ten are seven."""
    source = sources.source(7)
    assert RecallTest(work_over(source)).recall(Every(source, 1), 1, 10) == 1.0


@pytest.mark.parametrize("wanted", [1, 10, 1000])
def test_more_candidates_are_fetched_than_wanted(wanted: int) -> None:
    """At least twice as many, so that exact scores may change the order."""
    assert over_fetch(wanted) >= 2 * wanted

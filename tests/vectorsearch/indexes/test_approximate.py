from __future__ import annotations

import threading
from collections.abc import Iterator

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.vectorsearch.columns import Mask
from services.vectorsearch.indexes.approximate import ApproximateIndex, build
from services.vectorsearch.indexes.kinds import ApproximateKind
from services.vectorsearch.indexes.recall import over_fetch
from services.vectorsearch.indexes.source import Source, Stopped
from services.vectorsearch.kernels import Floats
from tests.vectorsearch.indexes import sources

ROWS = 9000
KINDS: tuple[ApproximateKind, ...] = ("ivf", "hnsw")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As a builder has it; on a busy machine more are slower."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(before)


@pytest.fixture(scope="module")
def source() -> Source:
    return sources.source(ROWS, first_row=4096)


@pytest.fixture(scope="module")
def queries() -> Floats:
    """Photos that are not held."""
    return sources.vectors(100, seed=99)


@pytest.fixture(scope="module")
def built(source: Source) -> dict[str, ApproximateIndex]:
    return {kind: build(kind, source) for kind in KINDS}


@pytest.fixture(params=KINDS)
def index(request: pytest.FixtureRequest, built: dict[str, ApproximateIndex]) -> ApproximateIndex:
    return built[request.param]


def test_the_target_is_reached(index: ApproximateIndex) -> None:
    """The recall that was measured is the one that was asked for, and no more than there can be."""
    assert 0.98 <= index.recall_at_10 <= 1.0
    assert 0.9 <= index.recall_at_100 <= 1.0


def test_photos_that_are_not_held_find_their_neighbours(
    index: ApproximateIndex, source: Source, queries: Floats
) -> None:
    """What was measured with rows of its own holds for other photos too."""
    found = index.candidates(queries, over_fetch(10))
    assert sources.recall(sources.nearest(source, queries, 10), found) >= 0.96


def test_candidates_are_numbers_of_rows(index: ApproximateIndex, source: Source) -> None:
    """A row is named by its number in the catalogue: each finds itself, and dead ones are never named."""
    some = np.arange(0, source.rows, 97)
    held = sources.everything(source)[some]
    found = index.candidates(held, over_fetch(10))
    numbers = sources.numbers(source)
    assert np.mean((found == numbers[some][:, None]).any(axis=1)) >= 0.98
    assert np.isin(found, numbers).all()
    assert (index.end_row, index.rows) == (source.end_row, len(numbers))


def test_candidates_of_a_query_are_distinct(index: ApproximateIndex, queries: Floats) -> None:
    """No row is named twice."""
    for row in index.candidates(queries, 200):
        assert len(np.unique(row[row >= 0])) == np.count_nonzero(row >= 0)


def test_more_than_there_are_is_padded(index: ApproximateIndex, source: Source, queries: Floats) -> None:
    """Asked for more rows than it has, an index names what it finds and then -1."""
    found = index.candidates(queries[:2], source.rows + 10)
    assert found.shape == (2, source.rows + 10)
    assert (found[:, -10:] == -1).all()


def test_queries_together_are_as_queries_alone(index: ApproximateIndex, queries: Floats) -> None:
    """A batch names for each query what it names for it alone."""
    together = index.candidates(queries[:20], 40)
    alone = np.concatenate([index.candidates(queries[n : n + 1], 40) for n in range(20)])
    assert sources.recall(alone, together) >= 0.99


def test_an_index_is_smaller_than_its_rows(index: ApproximateIndex, source: Source) -> None:
    """A byte a dimension and what finds it: less than the vectors at full precision, beyond links."""
    links = 4 * 34 * source.rows
    assert source.rows * sources.DIMENSION < index.nbytes < source.rows * sources.DIMENSION * 4 + links


def test_concurrent_searches_do_not_disturb_each_other(index: ApproximateIndex, queries: Floats) -> None:
    """Threads that search one index at once all get what one gets alone."""
    wrong: list[int] = []
    alone = index.candidates(queries, 40)

    def search(number: int) -> None:
        if not np.array_equal(index.candidates(queries, 40), alone):
            wrong.append(number)

    threads = [threading.Thread(target=search, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_same_seed_builds_the_same(source: Source, queries: Floats) -> None:
    """Nothing is left to chance but by the seed."""
    one, other = (build("ivf", source, seed=5) for _ in range(2))
    assert one.reach == other.reach
    assert np.array_equal(one.candidates(queries, 40), other.candidates(queries, 40))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [1, 2, 50])
def test_few_rows_are_enough(kind: ApproximateKind, rows: int) -> None:
    """An index of a single row, or of a few, finds them."""
    source = sources.source(rows)
    index = build(kind, source)
    assert index.recall_at_10 == index.recall_at_100 == 1.0
    found = index.candidates(sources.everything(source), 40)
    assert (found == sources.numbers(source)[:, None]).any(axis=1).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("questions", [1, 8, 15])
def test_a_build_that_is_told_to_stop_stops(kind: ApproximateKind, source: Source, questions: int) -> None:
    """Whenever it is told, at once; and it asks again and again."""
    asked: list[bool] = []

    def stopping() -> bool:
        asked.append(True)
        return len(asked) == questions

    with pytest.raises(Stopped):
        build(kind, source, stopping=stopping)
    assert len(asked) == questions


def passing_by_segment(source: Source, passing: Mask) -> dict[int, Mask | None]:
    """A mask over positions as masks by segment; None for those that pass whole, nothing where none does."""
    masks: dict[int, Mask | None] = {}
    start = 0
    for stretch in source.stretches:
        its = passing[start : start + len(stretch.places)]
        start += len(its)
        mask: Mask = np.zeros(len(stretch.matrix), dtype=np.bool_)
        mask[stretch.places] = its
        if its.any():
            masks[stretch.first_row] = None if its.all() else mask
    return masks


@settings(max_examples=30, deadline=None)
@given(share=st.sampled_from([0.005, 0.02, 0.1, 0.5, 0.97]), seed=st.integers(0, 2**20))
def test_filters_are_kept_to(
    built: dict[str, ApproximateIndex], source: Source, queries: Floats, share: float, seed: int
) -> None:
    """IVF names rows that pass only, and nearly all of the best of them, at every selectivity."""
    passing = np.random.default_rng(seed).random(source.rows) < share
    found = built["ivf"].candidates(queries, over_fetch(10), passing_by_segment(source, passing))
    assert np.isin(found[found >= 0], sources.numbers(source)[passing]).all()
    assert sources.recall(sources.nearest(source, queries, 10, passing), found) >= 0.97


def test_filters_that_exclude_what_is_near_are_kept_to(
    built: dict[str, ApproximateIndex], source: Source, queries: Floats
) -> None:
    """The best rows are found also where none of the query's own neighbours passes."""
    held = sources.everything(source)
    for query in queries[:20]:
        scores = held @ query
        passing = scores < np.quantile(scores, 0.3)
        found = built["ivf"].candidates(query[None], over_fetch(10), passing_by_segment(source, passing))
        assert np.isin(found[found >= 0], sources.numbers(source)[passing]).all()
        assert np.count_nonzero(found >= 0) == over_fetch(10)


def test_whole_segments_pass_or_do_not(
    built: dict[str, ApproximateIndex], source: Source, queries: Floats
) -> None:
    """None is all rows of a segment, and a segment that is not there has none, so compacted ones are out."""
    whole = source.stretches[1]
    found = built["ivf"].candidates(queries, 40, {whole.first_row: None, 1: None})
    assert np.isin(found[found >= 0], whole.first_row + whole.places).all()
    assert (found >= 0).any(axis=1).all()


def test_a_filter_that_nothing_passes_finds_nothing(
    built: dict[str, ApproximateIndex], queries: Floats
) -> None:
    """Not an error, and no rows."""
    assert (built["ivf"].candidates(queries, 40, {}) == -1).all()


def test_only_where_a_filter_leaves_enough_is_an_index_worth_it(
    built: dict[str, ApproximateIndex], source: Source
) -> None:
    """IVF serves filters that many rows pass; the graph of HNSW serves none."""
    assert built["ivf"].serves(source.rows)
    assert not built["ivf"].serves(source.rows // 100)
    assert not built["hnsw"].serves(source.rows)

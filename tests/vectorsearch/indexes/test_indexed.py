from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.vectorsearch.changes import Change, Deleted, Embedding, Photo, Written
from services.vectorsearch.columns import Facts
from services.vectorsearch.indexes import indexing, kinds
from services.vectorsearch.indexes.approximate import ApproximateIndex, build
from services.vectorsearch.indexes.indexing import Indexing
from services.vectorsearch.indexes.kinds import ApproximateKind, Kinds
from services.vectorsearch.indexes.source import Source
from services.vectorsearch.kernels import Floats
from services.vectorsearch.search import Cap, Found, Query, search
from services.vectorsearch.shard import Shard
from services.vectorsearch.views import view_of
from tests.vectorsearch.indexes import sources
from tests.vectorsearch.indexes.crowds import SEGMENT, Crowd, asks, crowd, numbers_of, product_id
from tests.vectorsearch.products import photo, query, written

ROWS = 10 * SEGMENT + SEGMENT // 2
KINDS = ("ivf", "hnsw")


@pytest.fixture(scope="module")
def queries() -> Floats:
    """Photos that are not held."""
    return sources.vectors(50, seed=99)


# By kind the first index of a crowd: all begin with the same rows, which take long to index.
_first: dict[ApproximateKind, ApproximateIndex] = {}


def _build(kind: ApproximateKind, source: Source, **more: Any) -> ApproximateIndex:
    held = _first.get(kind)
    if held and (held.rows, held.end_row) == (source.rows, source.end_row) == (ROWS, ROWS):
        return held
    made = build(kind, source, **more)
    return _first.setdefault(kind, made) if made.rows == ROWS else made


@contextmanager
def indexed(kind: str) -> Iterator[Crowd]:
    """A shard with an index."""
    with ExitStack() as stack:
        # For this crowd alone: others have other rows at the same places.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(indexing, "build", _build)
            its = stack.enter_context(crowd(kind, ROWS))
        its.look()
        yield its


@pytest.fixture(scope="module", params=KINDS)
def quiet(request: pytest.FixtureRequest) -> Iterator[Crowd]:
    """A shard with an index, for tests that write nothing."""
    with indexed(request.param) as its:
        yield its


@pytest.fixture(params=KINDS)
def busy(request: pytest.FixtureRequest) -> Iterator[Crowd]:
    """A shard with an index, for one test."""
    with indexed(request.param) as its:
        yield its


@pytest.fixture(scope="module")
def several() -> Iterator[Crowd]:
    """Indexes of the spaces `clip` and `triplet`, and none of `resnet50`."""
    with crowd("clip=ivf,triplet=hnsw,resnet50=flat16") as its:
        its.write(
            0,
            clip=sources.vectors(ROWS),
            triplet=sources.vectors(ROWS, seed=1),
            resnet50=sources.vectors(ROWS, seed=2),
        )
        its.look()
        yield its


def about(vectors: Floats, limit: int = 10) -> list[Query]:
    return [Query(asks({"clip": vector}), limit, approximately=True) for vector in vectors]


def recall(its: Crowd, asked: Sequence[Query], found: Sequence[Found], *, below: float = 1.0) -> float:
    """The share of the best products that were found, none of them twice."""
    shares = []
    for each, answer in zip(asked, found, strict=True):
        best = its.best(each.spaces, each.limit, below)
        assert len(set(answer.product_ids)) == len(answer.product_ids) == len(best)
        shares.append(np.isin(best, numbers_of(answer)).mean())
    return float(np.mean(shares))


def test_finds_nearly_all_of_the_best(quiet: Crowd, queries: Floats) -> None:
    """Photos that are not held find 95% of their ten best, and nearly as many of a hundred."""
    asked = about(queries)
    found = quiet.search(*asked)
    assert {each.plan for each in found} == {"index"}
    assert {each.rows_passed for each in found} == {ROWS}
    assert recall(quiet, asked, found) >= 0.95
    asked = about(queries[:10], 100)
    assert recall(quiet, asked, quiet.search(*asked)) >= 0.9


def test_what_is_found_is_scored_exactly(quiet: Crowd, queries: Floats) -> None:
    """Cosines are those of the vectors at full precision, and products come in their order."""
    for vector, found in zip(queries, quiet.search(*about(queries)), strict=True):
        held = np.stack([quiet.held["clip"][number] for number in numbers_of(found).tolist()])
        np.testing.assert_allclose(
            found.cosines[0], held.astype(np.float64) @ vector.astype(np.float64), atol=2e-6
        )
        assert (np.diff(np.rint(found.cosines[0].astype(np.float64) * 1e6)) <= 0).all()


def test_exactly_is_exact(quiet: Crowd, queries: Floats) -> None:
    """A search that may not ask an index does not, in a batch with others that may."""
    asked = [replace(each, approximately=number % 2 == 0) for number, each in enumerate(about(queries))]
    found = quiet.search(*asked)
    assert [each.plan for each in found] == ["index", "flat"] * (len(asked) // 2)
    assert recall(quiet, asked[1::2], found[1::2]) == 1
    assert recall(quiet, asked[::2], found[::2]) >= 0.95
    for each, answer in zip(asked, found, strict=True):
        (alone,) = quiet.search(each)
        assert alone.product_ids == answer.product_ids


def test_rows_that_came_later_are_found_at_once(busy: Crowd) -> None:
    """What is in no index yet is searched exactly beside it, whether its segment is in the index or not."""
    late = sources.vectors(SEGMENT, seed=7)
    busy.write(ROWS, clip=late)
    found = busy.search(*about(late))
    assert {each.plan for each in found} == {"index"}
    assert [each.product_ids[0] for each in found] == [product_id(ROWS + n) for n in range(SEGMENT)]
    assert recall(busy, about(late[:50]), found[:50]) >= 0.95


def test_a_product_written_again_is_found_as_it_is(busy: Crowd) -> None:
    """Only its new photo counts, and it comes once."""
    old = np.stack([busy.held["clip"][number] for number in range(200)])
    busy.write(0, clip=-old)
    for number, found in enumerate(busy.search(*about(-old))):
        assert found.product_ids[0] == product_id(number)
        assert found.product_ids.count(product_id(number)) == 1
    for number, found in enumerate(busy.search(*about(old))):
        assert product_id(number) not in found.product_ids


def test_who_is_near_and_dead_makes_way_for_who_is_alive(busy: Crowd, queries: Floats) -> None:
    """Where all that an index names first have died, it is asked for more."""
    gone = busy.best(about(queries[:1])[0].spaces, 1000)
    busy.delete(gone)
    asked = about(np.concatenate([queries[:1], queries]))
    found = busy.search(*asked)
    assert {each.plan for each in found} == {"index"}
    assert not np.isin(gone, np.concatenate([numbers_of(each) for each in found])).any()
    assert recall(busy, asked[:1], found[:1]) >= 0.9
    assert recall(busy, asked, found) >= 0.95


def test_rows_that_compaction_moved_come_once(busy: Crowd, queries: Floats) -> None:
    """A row that an index has under its old number is found where it is now."""
    busy.delete(range(0, ROWS, SEGMENT // 2))
    compacted = busy.shard.compact()
    assert compacted.rows == 10 * (SEGMENT - 2)
    assert busy.rows.segments[0].first_row > 0
    asked = about(queries)
    found = busy.search(*asked)
    assert {each.plan for each in found} == {"index"}
    assert {each.rows_passed for each in found} == {len(busy.held["clip"])}
    assert recall(busy, asked, found) >= 0.95


def test_a_segment_that_is_gone_from_between_others(busy: Crowd) -> None:
    """The numbers of its rows name nobody else's."""
    busy.delete(range(3 * SEGMENT, 3 * SEGMENT + SEGMENT // 3))
    firsts = [segment.first_row for segment in busy.rows.segments]
    assert 3 * SEGMENT not in firsts
    assert {2 * SEGMENT, 4 * SEGMENT} <= set(firsts)
    moved = list(range(3 * SEGMENT + SEGMENT // 3, 4 * SEGMENT, 25))
    asked = about(np.stack([busy.held["clip"][number] for number in moved]))
    found = busy.search(*asked)
    assert [each.product_ids[0] for each in found] == [product_id(number) for number in moved]
    assert recall(busy, asked, found) >= 0.95


def test_a_view_keeps_the_index_that_it_was_taken_with(busy: Crowd, queries: Floats) -> None:
    """Though there is a newer one, and rows that are in it, a search ends as it began."""
    asked = about(queries[:10])
    view = view_of(busy.rows, ["clip"])
    before = search(view, asked)
    busy.delete(busy.best(asked[0].spaces, 300))
    busy.write(ROWS, clip=sources.vectors(ROWS // 2, seed=7))
    old = busy.state().index
    busy.look()
    assert busy.state().index is not old
    after = search(view, asked)
    assert [each.product_ids for each in after] == [each.product_ids for each in before]


@pytest.mark.parametrize(
    ("below", "plans"),
    [
        (1.0, {"ivf": "index", "hnsw": "index"}),
        (0.95, {"ivf": "index", "hnsw": "masked"}),
        (0.1, {"ivf": "masked", "hnsw": "masked"}),
        (0.01, {"ivf": "gather", "hnsw": "gather"}),
    ],
)
def test_a_filter_is_served_by_an_index_or_exactly(
    quiet: Crowd, queries: Floats, below: float, plans: dict[str, str]
) -> None:
    """IVF serves filters that most rows pass, HNSW those that all do; else the answer is exact."""
    passing = quiet.passing(below)
    asked = [replace(each, passing=passing) for each in about(queries)]
    found = quiet.search(*asked)
    assert {each.plan for each in found} == {plans[quiet.state().kind]}
    assert {each.rows_passed for each in found} == {np.count_nonzero(passing)}
    assert recall(quiet, asked, found, below=below) >= (0.95 if found[0].plan == "index" else 1)


def test_a_batch_of_every_plan(quiet: Crowd, queries: Floats) -> None:
    """Filtered or not, approximate or not: each search finds what it finds alone."""
    narrow = {below: quiet.passing(below) for below in (0.01, 0.1, 0.95)}
    asked = [
        replace(each, passing=narrow.get(below), approximately=approximately, limit=limit)
        for each, (below, approximately, limit) in zip(
            about(queries[:16]),
            [
                (below, approximately, limit)
                for below in (1.0, 0.95, 0.1, 0.01)
                for approximately, limit in ((True, 10), (True, 3), (False, 10), (False, 40))
            ],
            strict=True,
        )
    ]
    found = quiet.search(*asked)
    assert {each.plan for each in found} == {"index", "flat", "masked", "gather"}
    for each, answer in zip(asked, found, strict=True):
        (alone,) = quiet.search(each)
        assert alone.rows_passed == answer.rows_passed
        # Alone, rows are scored one by one up to a greater share.
        assert alone.plan == answer.plan or (alone.plan, answer.plan) == ("gather", "masked")
        if answer.plan != "index":
            assert alone.product_ids == answer.product_ids
        # Of a batch an index is asked for as many as the one that wants most.
        assert np.isin(alone.product_ids, answer.product_ids).mean() >= 0.9


def test_leaves_out_who_is_excluded_and_who_is_far(quiet: Crowd, queries: Floats) -> None:
    """Excluded products are made up for by others; below the least score there is nobody."""
    for vector in queries[:10]:
        (asked,) = about(vector[None])
        best = quiet.best(asked.spaces, 30)
        slots = frozenset(quiet.rows.products[product_id(number)].slot for number in best[:20])
        (found,) = quiet.search(replace(asked, excluded=slots, excluded_rows=20))
        assert (found.plan, found.rows_passed) == ("index", ROWS - 20)
        assert np.isin(best[20:], numbers_of(found)).mean() >= 0.9
        assert not np.isin(best[:20], numbers_of(found)).any()
        least = float(quiet.held["clip"][best[4]] @ vector)
        (found,) = quiet.search(replace(asked, min_score=least))
        assert set(numbers_of(found).tolist()) <= set(best[:5])


def test_a_cap_is_filled_up(quiet: Crowd, queries: Floats) -> None:
    """Where the nearest are all of one group, an index is asked deeper until other groups come."""
    for vector in queries[:5]:
        (asked,) = about(vector[None])
        near = quiet.best(asked.spaces, 500)
        groups = np.full(len(quiet.rows.product_ids), -1, dtype=np.int32)
        groups[[quiet.rows.products[product_id(number)].slot for number in near]] = 0
        (found,) = quiet.search(replace(asked, cap=Cap.of(groups, 2, quiet.rows.searchable)))
        assert found.plan == "index"
        assert len(found.product_ids) == 10
        assert np.isin(near, numbers_of(found)).sum() == 2


def test_several_spaces_with_an_index_each(several: Crowd, queries: Floats) -> None:
    """What any index names is scored in all spaces."""
    asked = [
        Query(
            asks({"clip": one, "triplet": other}, weights={"clip": 0.7, "triplet": 0.3}),
            10,
            approximately=True,
        )
        for one, other in zip(queries, queries[::-1], strict=True)
    ]
    found = several.search(*asked)
    assert {each.plan for each in found} == {"index"}
    # Of spaces that have nothing to do with each other the best by the sum are near in neither.
    for each, answer in zip(asked, found, strict=True):
        best = several.best(each.spaces, 1)
        expected = [each.weight * (several.held[each.space][best[0]] @ each.vector) for each in each.spaces]
        weights = np.array([its.weight for its in each.spaces])
        assert weights @ answer.cosines[:, 0] >= 0.9 * sum(expected)


def test_a_photo_of_its_own_is_found_in_several_spaces(several: Crowd) -> None:
    """A product that asks is its own nearest."""
    numbers = range(0, ROWS, 211)
    asked = [
        Query(
            asks({space: several.held[space][number] for space in ("clip", "triplet")}), 5, approximately=True
        )
        for number in numbers
    ]
    found = several.search(*asked)
    assert {each.plan for each in found} == {"index"}
    first = [each.product_ids[0] == product_id(number) for number, each in zip(numbers, found, strict=True)]
    assert np.mean(first) >= 0.98


def test_a_space_without_an_index_makes_a_search_exact(several: Crowd, queries: Floats) -> None:
    """Unless it has no weight; and a search without any weight has no index to ask."""

    def plan(**weights: float) -> tuple[str, float]:
        asked = [
            Query(
                asks(
                    dict.fromkeys(weights, vector),
                    weights=weights,
                ),
                10,
                approximately=True,
            )
            for vector in queries[:10]
        ]
        found = several.search(*asked)
        (its_plan,) = {each.plan for each in found}
        return its_plan, recall(several, asked, found)

    assert plan(clip=1.0, resnet50=1.0) == ("flat", 1)
    assert plan(resnet50=1.0) == ("flat", 1)
    assert plan(clip=0.0, resnet50=0.0) == ("flat", 1)
    assert plan(clip=1.0, resnet50=0.0)[0] == "index"
    assert plan(clip=1.0, resnet50=0.0)[1] >= 0.95
    assert plan(clip=0.0, triplet=2.0)[1] >= 0.95
    assert plan(clip=0.0, triplet=2.0)[0] == "index"


def test_searches_of_one_batch_weigh_spaces_as_they_like(several: Crowd, queries: Floats) -> None:
    """One that weighs a space without an index is exact; the others ask the indexes that count for them."""
    weights = [
        {"clip": 1.0, "triplet": 0.0, "resnet50": 0.0},
        {"clip": 0.0, "triplet": 1.0, "resnet50": 0.0},
        {"clip": 1.0, "triplet": 1.0, "resnet50": 1.0},
    ]
    asked = [
        Query(asks(dict.fromkeys(each, vector), weights=each), 10, approximately=True)
        for vector in queries[:10]
        for each in weights
    ]
    found = several.search(*asked)
    assert [each.plan for each in found] == ["index", "index", "flat"] * 10
    assert recall(several, asked[::3], found[::3]) >= 0.95
    assert recall(several, asked[1::3], found[1::3]) >= 0.95
    assert recall(several, asked[2::3], found[2::3]) == 1


def test_products_with_many_photos_are_as_many_as_were_asked_for() -> None:
    """Where a few products have all the photos that are near, an index is asked for more of them."""
    photos, products = 60, 150
    vectors = sources.vectors(products)
    noise = np.random.default_rng(3).normal(size=(products, photos, sources.DIMENSION)) * 0.01
    every = vectors[:, None, :] + noise.astype(np.float32)
    every /= np.linalg.norm(every, axis=2, keepdims=True)
    with crowd("ivf") as its:
        its.shard.apply(
            [
                Written(
                    "shop",
                    product_id(number),
                    number + 1,
                    "g1",
                    tuple(
                        Photo(f"photo{place}", {"clip": Embedding("model-clip", vector)})
                        for place, vector in enumerate(its_photos)
                    ),
                    Facts(),
                )
                for number, its_photos in enumerate(every)
            ]
        )
        its.look()
        asked = about(sources.vectors(20, seed=99))
        for each, found in zip(asked, its.search(*asked), strict=True):
            assert found.plan == "index"
            assert len(set(found.product_ids)) == len(found.product_ids) == 10
            scores = (every @ each.spaces[0].vector).max(axis=1)
            best = [product_id(number) for number in np.argsort(-scores)[:10].tolist()]
            assert np.isin(best, found.product_ids).mean() >= 0.8


seeds = st.integers(0, 12)
its_photos = st.lists(
    st.dictionaries(st.sampled_from(["clip", "triplet"]), seeds, min_size=1), min_size=1, max_size=3
).map(lambda every: tuple(photo(f"photo{number}", each) for number, each in enumerate(every)))
steps = st.tuples(st.sampled_from(["write", "write", "delete", "look"]), st.integers(0, 9), its_photos)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(steps, min_size=4, max_size=30),
    st.lists(st.tuples(seeds, seeds), min_size=1, max_size=4),
    st.sampled_from(KINDS),
    st.sampled_from([3, 8]),
    st.integers(1, 12),
)
def test_over_few_rows_an_index_finds_what_an_exact_search_finds(
    history: list[tuple[str, int, tuple[Photo, ...]]],
    asked: list[tuple[int, int]],
    kind: str,
    segment_rows: int,
    limit: int,
) -> None:
    """Whatever was written, deleted, compacted and indexed in between: the same products, each once.

    So few rows are all named by an index, so nothing of the answer may depend on it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kinds, "MIN_ROWS", 1)
        shard = Shard(segment_rows=segment_rows)
        its = Indexing(shard, Kinds.parse(kind))
        crowd = Crowd(shard, its)
        for revision, (step, number, photos) in enumerate(history, start=1):
            change: Change = Deleted("shop", product_id(number), revision)
            if step == "write":
                change = written(product_id(number), revision, *photos)
            shard.apply([change] if step != "look" else [])
            if step == "look":
                crowd.look()
        spaces = sorted(key.space for key in its.states())
        its.stop()
    rows = shard.rows("shop", "g1")
    if rows is None:
        return
    queries = [
        Query(
            [
                query(space, seed)
                for space, seed in zip(("clip", "triplet"), pair, strict=True)
                if space in spaces
            ],
            limit,
            approximately=True,
        )
        for pair in asked
    ]
    view = view_of(rows, spaces)
    exact = search(view, [replace(each, approximately=False) for each in queries])
    for one, other in zip(search(view, queries), exact, strict=True):
        assert one.product_ids == other.product_ids
        assert one.photo_ids == other.photo_ids
        assert one.rows_passed == other.rows_passed
        np.testing.assert_array_equal(one.cosines, other.cosines)

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.mesh.errors import FailedPrecondition
from services.vectorsearch.changes import Deleted, Described, Embedding, Photo, Written
from services.vectorsearch.columns import Facts, Value
from services.vectorsearch.filters import AnyOf, Between, Condition, Exists, Filter, Passing
from services.vectorsearch.first_pass import Precision
from services.vectorsearch.lanes import Lanes
from services.vectorsearch.rows import CatalogRows
from services.vectorsearch.search import Cap, Found, Query, SpaceQuery, search
from services.vectorsearch.shard import Shard
from services.vectorsearch.views import view_of
from tests.vectorsearch.products import DIMENSIONS, Reference, photo, query, simple, written

SPACES = sorted(DIMENSIONS)
ATTRIBUTES = ("colour", "price", "sale")
PRECISIONS: tuple[Precision, ...] = ("flat", "flat16", "sq8")

values = st.one_of(
    st.sampled_from(["red", "blue", "1"]), st.sampled_from([0.0, 1.0, 2.5, -3.0]), st.booleans()
)
facts = st.builds(
    Facts,
    st.dictionaries(st.sampled_from(ATTRIBUTES), st.lists(values, min_size=1, max_size=3), max_size=3),
    st.dictionaries(
        st.sampled_from(["gender", "colour"]),
        st.tuples(st.sampled_from(["Men", "red"]), st.just(0.5)),
        max_size=2,
    ),
)
# Few different seeds, so that equal photos and equal scores are common.
photos = st.lists(st.dictionaries(st.sampled_from(SPACES), st.integers(0, 6), max_size=3), max_size=3).map(
    lambda all_seeds: tuple(photo(f"photo{n}", seeds) for n, seeds in enumerate(all_seeds))
)
product_ids = st.integers(0, 7).map("p{}".format)
steps = st.one_of(
    st.tuples(st.just("write"), product_ids, photos, facts),
    st.tuples(st.just("describe"), product_ids, st.just(()), facts),
    st.tuples(st.just("delete"), product_ids, st.just(()), st.just(Facts())),
)
tests = st.one_of(
    st.builds(AnyOf, st.lists(values, min_size=1, max_size=3).map(tuple)),
    st.builds(Between, st.sampled_from([-np.inf, 0.0, 1.0]), st.sampled_from([1.0, 2.5, np.inf])),
    st.builds(Exists, st.booleans()),
)
conditions = st.builds(
    Condition,
    st.sampled_from([*ATTRIBUTES, "inferred.gender", "inferred.colour", "unheard_of"]),
    tests,
    st.booleans(),
)
filters = st.builds(
    Filter, st.lists(st.lists(conditions, min_size=1, max_size=2).map(tuple), max_size=2).map(tuple)
)


def changes_of(
    history: list[tuple[str, str, tuple[Photo, ...], Facts]],
) -> list[Written | Described | Deleted]:
    made: list[Written | Described | Deleted] = []
    for revision, (kind, product_id, its_photos, its_facts) in enumerate(history, start=1):
        if kind == "write":
            made.append(Written("shop", product_id, revision, "g1", its_photos, its_facts))
        elif kind == "describe":
            made.append(Described("shop", product_id, revision, its_facts))
        else:
            made.append(Deleted("shop", product_id, revision))
    return made


def follow(reference: Reference, changes: list[Written | Described | Deleted]) -> None:
    for change in changes:
        held = reference.products.get(change.product_id)
        if isinstance(change, Written):
            reference.products[change.product_id] = change
        elif isinstance(change, Deleted):
            reference.products.pop(change.product_id, None)
        elif held:
            reference.products[change.product_id] = written(
                held.product_id,
                change.revision,
                *held.photos,
                attributes=change.facts.attributes,
                labels=change.facts.labels,
            )


def rows_of(shard: Shard) -> CatalogRows:
    return shard.rows("shop", "g1") or CatalogRows()


@dataclass(frozen=True)
class Asked:
    """What one search of a batch asks beside its vectors."""

    seeds: tuple[int, ...]
    weights: tuple[float, ...]
    narrowed: Filter
    excluded: tuple[str, ...]
    limit: int
    min_score: float | None
    cap: tuple[str, int] | None

    def spaces(self, names: Sequence[str]) -> list[SpaceQuery]:
        return [
            query(space, self.seeds[number], weight=self.weights[number])
            for number, space in enumerate(names)
        ]


asked_for = st.builds(
    Asked,
    st.tuples(*[st.integers(0, 6)] * 3),
    st.tuples(*[st.sampled_from([0.0, 0.25, 1.0, 3.0])] * 3),
    filters,
    st.lists(product_ids, max_size=2).map(tuple),
    st.integers(1, 15),
    st.one_of(st.none(), st.floats(-1, 1)),
    st.one_of(st.none(), st.tuples(st.sampled_from([*ATTRIBUTES, "inferred.gender"]), st.integers(1, 2))),
)


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(st.lists(steps, max_size=8), st.lists(steps, min_size=12, max_size=40)),
    st.lists(st.sampled_from(SPACES), min_size=1, max_size=3, unique=True),
    st.lists(asked_for, min_size=1, max_size=5),
    st.sampled_from([3, 8, 64, 700]),
    st.sampled_from(PRECISIONS),
)
def test_answers_as_the_reference(
    history: list[tuple[str, str, tuple[Photo, ...], Facts]],
    spaces: list[str],
    batch: list[Asked],
    segment_rows: int,
    precision: Precision,
) -> None:
    """Whatever happened to the products, each search of a batch finds what the reference finds for it."""
    changes = changes_of(history)
    shard = Shard(segment_rows=segment_rows, precision_of=lambda _space: precision)
    reference = Reference()
    for start in range(0, len(changes), 5):
        assert not shard.apply(changes[start : start + 5])
    follow(reference, changes)
    rows = rows_of(shard)
    queries = [query_of(rows, each, spaces) for each in batch]
    for each, found in zip(batch, search(view_of(rows, spaces), queries), strict=True):
        check(rows, each, spaces, found, reference)


def query_of(rows: CatalogRows, each: Asked, spaces: Sequence[str]) -> Query:
    """A search as a server would put it."""
    passing = each.narrowed.passing(rows.columns, rows.searchable) if each.narrowed.all_of else None
    products = [rows.products[product_id] for product_id in set(each.excluded) & set(rows.products)]
    if passing is not None:
        passing[[product.slot for product in products]] = False
    column = rows.columns.get(each.cap[0]) if each.cap else None
    return Query(
        each.spaces(spaces),
        each.limit,
        passing=passing,
        excluded=frozenset(product.slot for product in products),
        excluded_rows=sum(len(product.rows) for product in products),
        min_score=-np.inf if each.min_score is None else each.min_score,
        cap=Cap.of(
            column.first(np.arange(len(rows.product_ids)))[0],
            each.cap[1],
            rows.searchable if passing is None else passing,
        )
        if each.cap and column
        else None,
    )


def check(rows: CatalogRows, each: Asked, spaces: Sequence[str], found: Found, reference: Reference) -> None:
    asked = each.spaces(spaces)
    ranked = reference.best(asked, each.narrowed, each.excluded, len(reference.products))
    if each.min_score is not None:
        ranked = [entry for entry in ranked if entry[2] >= round(each.min_score * 1e6)]
    if each.cap:
        ranked = capped(ranked, *each.cap, reference)
    expected = ranked[: each.limit]
    assert found.product_ids == [entry[0] for entry in expected]
    assert found.photo_ids == [entry[1] for entry in expected]
    np.testing.assert_allclose(
        found.cosines.T, np.array([entry[3] for entry in expected]).reshape(-1, len(asked)), atol=2e-6
    )
    passed = [
        product
        for product in reference.products.values()
        if product.photos
        and product.product_id not in each.excluded
        and reference.passes(product, each.narrowed)
    ]
    assert found.rows_passed == sum(len(product.photos) for product in passed)
    check_labels(rows, found, reference)


def capped(
    ranked: list[tuple[str, str, int, list[float]]], attribute: str, size: int, reference: Reference
) -> list[tuple[str, str, int, list[float]]]:
    """The first `size` of each value; all of those without any."""
    kept, counts = [], Counter[tuple[type, Value]]()
    for entry in ranked:
        value = first_value(reference.products[entry[0]].facts, attribute)
        if value is not None:
            counts[type(value), value] += 1
        if value is None or counts[type(value), value] <= size:
            kept.append(entry)
    return kept


def first_value(its: Facts, attribute: str) -> Value | None:
    if attribute.startswith("inferred."):
        label = its.labels.get(attribute.removeprefix("inferred."))
        return label[0] if label else None
    return next(iter(its.attributes.get(attribute, ())), None)


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=40), filters)
def test_counts_values_as_the_reference(
    history: list[tuple[str, str, tuple[Photo, ...], Facts]], narrowed: Filter
) -> None:
    """Facets count the products that pass, every value once a product, the most frequent first."""
    changes = changes_of(history)
    shard, reference = Shard(), Reference()
    shard.apply(changes)
    follow(reference, changes)
    rows = rows_of(shard)
    passing = narrowed.passing(rows.columns, rows.searchable)
    passed = [
        product
        for product in reference.products.values()
        if product.photos and reference.passes(product, narrowed)
    ]
    for name in ATTRIBUTES:
        counted: Counter[tuple[type, Value]] = Counter()
        for product in passed:
            counted.update({(type(value), value) for value in product.facts.attributes.get(name, ())})
        column = rows.columns.get(name)
        counts = column.counts(passing, 100) if column else []
        assert {(type(value), value): count for value, count in counts} == dict(counted)
        assert [count for _, count in counts] == sorted((count for _, count in counts), reverse=True)


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=40), filters, st.lists(product_ids, max_size=2))
def test_a_filter_passes_without_what_it_says_of_an_attribute(
    history: list[tuple[str, str, tuple[Photo, ...], Facts]], narrowed: Filter, excluded: list[str]
) -> None:
    """Clauses about that attribute alone are as if they were not there; who is not tested never passes."""
    changes = changes_of(history)
    shard, reference = Shard(), Reference()
    shard.apply(changes)
    follow(reference, changes)
    rows = rows_of(shard)
    among = rows.searchable.copy()
    among[[rows.products[product_id].slot for product_id in {*excluded} & {*rows.products}]] = False
    passing = Passing(narrowed, rows.columns, among)
    for name in (*ATTRIBUTES, "inferred.gender", "unheard_of"):
        others = tuple(clause for clause in narrowed.all_of if {each.attribute for each in clause} != {name})
        expected = {
            product.product_id
            for product in reference.products.values()
            if product.photos
            and product.product_id not in excluded
            and reference.passes(product, Filter(others))
        }
        beside = passing.beside(name)
        assert {rows.product_ids[slot] for slot in np.flatnonzero(beside)} == expected
        # Nothing is combined anew where nothing is left out.
        assert (beside is passing.every_clause) == (others == narrowed.all_of)


def check_labels(rows: CatalogRows, found: Found, reference: Reference) -> None:
    labels = rows.columns.labels("colour", found.slots)
    for product_id, code, probability in zip(
        found.product_ids, labels.codes, labels.probabilities, strict=True
    ):
        its = reference.products[product_id].facts
        given_values = its.attributes.get("colour", ())
        if given_values:
            first = given_values[0]
            text = (
                str(first).lower()
                if isinstance(first, bool)
                else first
                if isinstance(first, str)
                else f"{first:g}"
            )
            assert (labels.values[code], probability) == (text, 1)
        elif "colour" in its.labels:
            assert (labels.values[code], probability) == its.labels["colour"]
        else:
            assert (code, probability) == (-1, 0)


@dataclass
class Crowd:
    """Many products of one photo each, in clusters, and their vectors, float32 [products, d]."""

    rows: CatalogRows
    vectors: npt.NDArray[np.float32]


@functools.lru_cache(3)
def crowd(products: int, dimension: int, precision: Precision) -> Crowd:
    """Made once for all tests that ask for the same: they change nothing of it."""
    rng = np.random.default_rng(5)
    centres = rng.normal(size=(20, dimension))
    raw = centres[rng.integers(0, 20, products)] + rng.normal(size=(products, dimension)) * 0.3
    vectors = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    shard = Shard(segment_rows=1024, precision_of=lambda _space: precision)
    changes = [
        Written(
            "shop",
            f"p{n:06d}",
            n + 1,
            "g1",
            (Photo("front", {"wide": Embedding("model", vector)}),),
            Facts({"rank": [float(n)]}),
        )
        for n, vector in enumerate(vectors)
    ]
    assert not shard.apply(changes)
    return Crowd(rows_of(shard), vectors)


def exact_best(
    vectors: npt.NDArray[np.float32], vector: npt.NDArray[np.float32], passing: npt.NDArray[np.bool_], k: int
) -> list[str]:
    scores = np.rint((vectors.astype(np.float64) @ vector.astype(np.float64)) * 1e6)
    order = np.lexsort((np.arange(len(scores)), -scores))
    return [f"p{n:06d}" for n in order[passing[order]][:k].tolist()]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("share", [0.0001, 0.01, 0.1, 0.5, 0.99, 1.0])
def test_recall_is_one_at_every_selectivity(precision: Precision, share: float) -> None:
    """Few or many pass: in every precision the k best are those of float64, for k of 1, 10 and 300."""
    everyone = crowd(11_000, 48, precision)
    rng = np.random.default_rng(7)
    passing = rng.random(11_000) < share
    passing[17] = True
    slots = np.concatenate([[False], passing])
    for k in (1, 10, 300):
        vectors = everyone.vectors[rng.integers(0, 11_000, 8)] + rng.normal(size=(8, 48)) * 0.05
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        queries = [
            Query([SpaceQuery("wide", vector, 1.0, 0.0)], k, passing=None if share == 1 else slots)
            for vector in vectors
        ]
        for vector, found in zip(vectors, search(view_of(everyone.rows, ["wide"]), queries), strict=True):
            expected = exact_best(everyone.vectors, vector, passing if share < 1 else passing | True, k)
            differing = [pair for pair in zip(found.product_ids, expected, strict=True) if pair[0] != pair[1]]
            # Float32 sums may take two neighbours' order by a millionth for the other.
            for mine, theirs in differing:
                numbers = [int(mine[1:]), int(theirs[1:])]
                its = everyone.vectors[numbers].astype(np.float64) @ vector.astype(np.float64)
                assert abs(its[0] - its[1]) < 2e-6


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_search_alone_and_one_spread_over_threads_find_the_same(precision: Precision) -> None:
    """Lanes share the rows, and nothing of the answer depends on it."""
    everyone = crowd(6_000, 256, precision)
    queries = [Query([SpaceQuery("wide", everyone.vectors[3], 1.0, 0.0)], 50)]
    view = view_of(everyone.rows, ["wide"])
    lanes = Lanes(3)
    (spread,) = search(view, queries, run=lanes.run)
    lanes.shutdown()
    (alone,) = search(view, queries)
    assert spread.product_ids == alone.product_ids
    np.testing.assert_array_equal(spread.cosines, alone.cosines)


def test_a_view_stays_what_it_was_while_rows_come_and_go() -> None:
    """Products that are deleted, rewritten or moved after a view was taken are found in it as they were."""
    shard = Shard(segment_rows=16)
    shard.apply([simple(number, number + 1) for number in range(60)])
    rows = rows_of(shard)
    queries = [Query([query("clip", 7)], 60)]
    view = view_of(rows, ["clip"])
    (before,) = search(view, queries)
    changes: list[Written | Deleted] = [
        Deleted("shop", f"p{number}", 100 + number) for number in range(0, 60, 2)
    ]
    changes += [
        written(f"p{number}", 200 + number, photo("other", {"clip": 7})) for number in range(1, 60, 4)
    ]
    shard.apply(changes)
    shard.apply([simple(number, 300 + number) for number in range(1000, 1040)])
    shard.compact()
    (after,) = search(view, queries)
    assert after.product_ids == before.product_ids
    assert after.photo_ids == before.photo_ids
    (now,) = search(view_of(rows, ["clip"]), [Query([query("clip", 7)], 200)])
    assert len(now.product_ids) == 70


def test_names_its_plan() -> None:
    """Nothing passes: `empty`; everything: `flat`; few: `gather`; many: `masked`."""
    shard = Shard()
    shard.apply([simple(number, number + 1) for number in range(100)])
    rows = rows_of(shard)
    few, many = rows.searchable.copy(), rows.searchable.copy()
    few[5:] = False
    many[:50] = False
    view = view_of(rows, ["clip"])

    def plan(passing: npt.NDArray[np.bool_] | None) -> str:
        (found,) = search(view, [Query([query("clip", 3)], 10, passing=passing)])
        return found.plan

    assert plan(rows.searchable & False) == "empty"
    assert plan(None) == plan(rows.searchable) == "flat"
    assert plan(few) == "gather"
    assert plan(many) == "masked"


def test_finds_the_same_photo_first_with_a_cosine_of_one() -> None:
    """The photo that asks is its own nearest."""
    shard = Shard(segment_rows=16)
    shard.apply([simple(number, number + 1) for number in range(50)])
    asked = Query([query(space, 33, weight=0.3) for space in SPACES], 5)
    (found,) = search(view_of(rows_of(shard), SPACES), [asked])
    assert found.product_ids[0] == "p33"
    assert found.cosines[:, 0] == pytest.approx(1, abs=1e-6)


def test_equal_photos_come_in_order_of_product_id() -> None:
    """Ties are settled by product id, also at the limit."""
    shard = Shard()
    shard.apply([written(f"p{n:02d}", n + 1, photo("front", {"clip": 1})) for n in reversed(range(30))])
    (found,) = search(view_of(rows_of(shard), ["clip"]), [Query([query("clip", 2)], 4)])
    assert found.product_ids == ["p00", "p01", "p02", "p03"]


def test_refuses_vectors_of_another_model() -> None:
    """A product of another model is refused whole, and what was held of it stays."""
    shard = Shard()
    shard.apply([simple(1, 1, colour=["red"])])
    other = Photo("front", {"clip": Embedding("another", np.ones(6, dtype=np.float32))})
    (refusal,) = shard.apply([written("p1", 2, other)])
    assert isinstance(refusal.error, FailedPrecondition)
    assert refusal.error.reason == "MODEL_MISMATCH"
    assert rows_of(shard).products["p1"].revision == 1
    short = Photo("front", {"clip": Embedding("model-clip", np.ones(5, dtype=np.float32))})
    (refusal,) = shard.apply([written("p1", 3, short)])
    assert "5 dimensions where 6" in refusal.error.message

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.mesh.errors import FailedPrecondition
from services.vectorsearch.changes import Change, Deleted, Described, Embedding, Photo, Written
from services.vectorsearch.columns import Facts, Value
from services.vectorsearch.filters import AnyOf, Between, Condition, Exists, Filter
from services.vectorsearch.rows import CatalogRows
from services.vectorsearch.search import Found, SpaceQuery, search
from services.vectorsearch.shard import Shard
from tests.vectorsearch.products import DIMENSIONS, Reference, photo, query, simple, written

SPACES = sorted(DIMENSIONS)
ATTRIBUTES = ("colour", "price", "sale")

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
queries = st.lists(st.sampled_from(SPACES), min_size=1, max_size=3, unique=True).flatmap(
    lambda spaces: st.tuples(
        *(
            st.builds(
                query,
                st.just(space),
                st.integers(0, 6),
                weight=st.sampled_from([0.0, 0.25, 1.0]),
                neutral=st.sampled_from([0.0, 0.4]),
            )
            for space in spaces
        )
    )
)


def changes_of(history: list[tuple[str, str, tuple[Photo, ...], Facts]]) -> list[Change]:
    made: list[Change] = []
    for revision, (kind, product_id, its_photos, its_facts) in enumerate(history, start=1):
        if kind == "write":
            made.append(Written("shop", product_id, revision, "g1", its_photos, its_facts))
        elif kind == "describe":
            made.append(Described("shop", product_id, revision, its_facts))
        else:
            made.append(Deleted("shop", product_id, revision))
    return made


def follow(reference: Reference, changes: list[Change]) -> None:
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


@settings(max_examples=150)
@given(
    st.one_of(st.lists(steps, max_size=8), st.lists(steps, min_size=12, max_size=40)),
    queries,
    filters,
    st.lists(product_ids, max_size=2),
    st.integers(1, 15),
    st.sampled_from([3, 8, 64]),
    st.booleans(),
)
def test_answers_as_the_reference(
    history: list[tuple[str, str, tuple[Photo, ...], Facts]],
    asked: tuple[SpaceQuery, ...],
    narrowed: Filter,
    excluded: list[str],
    limit: int,
    segment_rows: int,
    frozen: bool,
) -> None:
    """Whatever happened to the products, hits, photos, cosines, facets and labels are the reference's."""
    changes = changes_of(history)
    shard, reference = Shard(segment_rows=segment_rows), Reference()
    for start in range(0, len(changes), 5):
        assert not shard.apply(changes[start : start + 5])
    follow(reference, changes)
    if frozen:
        shard = Shard.thaw(shard.freeze())
    rows = rows_of(shard)
    passing = narrowed.passing(rows.columns, rows.searchable)
    for product_id in excluded:
        if product_id in rows.products:
            passing[rows.products[product_id].slot] = False
    found = search(rows, asked, passing, limit)
    expected = reference.best(asked, narrowed, excluded, limit)

    assert found.product_ids == [entry[0] for entry in expected]
    assert found.photo_ids == [entry[1] for entry in expected]
    np.testing.assert_allclose(
        found.cosines.T, np.array([entry[3] for entry in expected]).reshape(-1, len(asked)), atol=2e-6
    )
    passed = [
        product
        for product in reference.products.values()
        if product.photos and product.product_id not in excluded and reference.passes(product, narrowed)
    ]
    assert found.rows_passed == sum(len(product.photos) for product in passed)
    for name in ATTRIBUTES:
        counted: Counter[tuple[type, Value]] = Counter()
        for product in passed:
            counted.update({(type(value), value) for value in product.facts.attributes.get(name, ())})
        column = rows.columns.get(name)
        counts = column.counts(passing, 100) if column else []
        assert {(type(value), value): count for value, count in counts} == dict(counted)
        assert [count for _, count in counts] == sorted((count for _, count in counts), reverse=True)
    check_labels(rows, found, reference)


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


def test_names_its_plan() -> None:
    """Nothing that passes is `empty`, everything `flat`, and a part of it `gather`."""
    shard = Shard()
    shard.apply([simple(number, number + 1) for number in range(50)])
    rows = rows_of(shard)
    everyone = rows.searchable
    few = everyone.copy()
    few[5:] = False
    asked = [query("clip", 3)]
    assert search(rows, asked, everyone & False, 10).plan == "empty"
    assert search(rows, asked, everyone, 10).plan == "flat"
    assert search(rows, asked, few, 10).plan == "gather"


def test_finds_the_same_photo_first_with_a_cosine_of_one() -> None:
    """The photo that asks is its own nearest."""
    shard = Shard(segment_rows=16)
    shard.apply([simple(number, number + 1) for number in range(50)])
    rows = rows_of(shard)
    found = search(rows, [query(space, 33, weight=0.3) for space in SPACES], rows.searchable, 5)
    assert found.product_ids[0] == "p33"
    assert found.cosines[:, 0] == pytest.approx(1, abs=1e-6)


def test_equal_photos_come_in_order_of_product_id() -> None:
    """Ties are settled by product id, also at the limit."""
    shard = Shard()
    shard.apply([written(f"p{n:02d}", n + 1, photo("front", {"clip": 1})) for n in reversed(range(30))])
    rows = rows_of(shard)
    found = search(rows, [query("clip", 2)], rows.searchable, 4)
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

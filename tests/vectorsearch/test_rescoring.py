from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.vectorsearch.kernels import Floats, Indices
from services.vectorsearch.lanes import Lanes, alone
from services.vectorsearch.rescoring import Scored, SpaceBatch, best, scored
from services.vectorsearch.rows import CatalogRows
from services.vectorsearch.shard import Shard
from services.vectorsearch.views import Part, View, view_of
from tests.vectorsearch.products import photo, unit, written

ROWS = 20
SPACES = ("clip", "triplet")


def view() -> View:
    """Twenty products in segments of eight; every third photo has no vector in `triplet`."""
    shard = Shard(segment_rows=8)
    shard.apply(
        [
            written(f"p{n:02d}", n + 1, photo("front", dict.fromkeys(SPACES if n % 3 else ("clip",), n)))
            for n in range(ROWS)
        ]
    )
    return view_of(shard.rows("shop", "g1") or CatalogRows(), [*SPACES, "resnet50"])


def batch(
    space: str, seeds: Sequence[int], *, weights: Sequence[float], neutral: Sequence[float]
) -> SpaceBatch:
    return SpaceBatch(
        space, np.stack([unit(seed, space) for seed in seeds]), np.array(weights), np.array(neutral)
    )


def indices(*numbers: int) -> Indices:
    return np.array(numbers, dtype=np.int64)


def pairs_of(parts: Sequence[Part], numbers: Sequence[Sequence[int]]) -> list[tuple[Indices, Indices]]:
    """For each part the pairs of a query and its rows, given the rows' numbers by query."""
    pairs = []
    for part in parts:
        its = [
            (query, number - part.first_row)
            for query, wanted in enumerate(numbers)
            for number in wanted
            if part.first_row <= number < part.first_row + part.size
        ]
        pairs.append((indices(*(query for query, _ in its)), indices(*(row for _, row in its))))
    return pairs


rows_of_queries = st.lists(st.lists(st.integers(0, ROWS - 1), unique=True), min_size=1, max_size=5)


@settings(max_examples=100, deadline=None)
@given(rows_of_queries, st.integers(0, 2**16))
def test_every_pair_is_scored_as_by_itself(numbers: list[list[int]], seed: int) -> None:
    """Queries of one part may want few rows or many, in any order: each pair gets its own score."""
    its = view()
    random = np.random.default_rng(seed)
    count = len(numbers)
    spaces = [
        batch(
            space,
            random.integers(0, 40, count).tolist(),
            weights=random.choice([0.0, 0.3, 2.0], count).tolist(),
            neutral=random.uniform(-1, 1, count).tolist(),
        )
        for space in (*SPACES, "resnet50")
    ]
    found = scored(its.parts, pairs_of(its.parts, numbers), spaces, alone)
    assert sorted(zip(found.queries.tolist(), found.numbers.tolist(), strict=True)) == sorted(
        (query, number) for query, wanted in enumerate(numbers) for number in wanted
    )
    for pair, (query, number) in enumerate(zip(found.queries.tolist(), found.numbers.tolist(), strict=True)):
        total = 0.0
        for space, cosines in zip(spaces, found.cosines, strict=True):
            cosine = space.neutral[query]
            has = space.space == "clip" or (space.space == "triplet" and number % 3)
            if has:
                held = unit(number, space.space).astype(np.float64)
                cosine = held @ space.vectors[query].astype(np.float64)
                assert cosines[pair] == pytest.approx(cosine, abs=1e-6)
            assert bool(np.isnan(cosines[pair])) != bool(has)
            total += cosine * space.weights[query]
        assert found.keys[pair] == pytest.approx(total * 1e6, abs=6)
        part = its.parts[int(found.parts[pair])]
        row = int(found.rows[pair])
        assert part.first_row + row == number
        assert (part.slots[row], part.product_ids[row]) == (found.slots[pair], f"p{number:02d}")


def test_equal_photos_have_equal_scores_wherever_they_are_scored() -> None:
    """Beside few pairs or many, alone or in a batch: the same bits."""
    its = view()
    asked = {"weights": [1.0] * 3, "neutral": [0.4] * 3}
    many = scored(
        its.parts,
        pairs_of(its.parts, [[3], range(ROWS), [3, 19]]),
        [batch("clip", [7, 7, 7], **asked)],
        alone,
    )
    cosines = many.cosines[0][many.numbers == 3]
    (one,) = scored(
        its.parts,
        pairs_of(its.parts, [[3]]),
        [batch("clip", [7], weights=[1.0], neutral=[0.4])],
        alone,
    ).cosines[0]
    assert cosines.tolist() == [one] * 3


def test_nothing_to_score_is_nothing_scored() -> None:
    """Without pairs, and without parts, there are columns without entries."""
    its = view()
    space = batch("clip", [1], weights=[1.0], neutral=[0.4])
    for parts in (its.parts, []):
        found = scored(parts, [(indices(), indices()) for _ in parts], [space], alone)
        assert found.cosines.shape == (1, 0)
        for column in (found.queries, found.parts, found.rows, found.numbers, found.slots, found.keys):
            assert column.shape == (0,)
            assert column.dtype == np.int64


def test_lanes_change_nothing() -> None:
    """Parts that are scored by several threads have the same scores at the same places."""
    products, dimension = 4096, 64
    random = np.random.default_rng(1)
    matrix: Floats = random.normal(size=(products, dimension)).astype(np.float32)
    slots = np.arange(1, products + 1, dtype=np.int32)
    ids = [f"p{number}" for number in range(products)]
    parts = [
        Part(start, 512, 512, slots[start:], None, ids[start:], ids[start:], {}, {"wide": matrix[start:]}, {})
        for start in range(0, products, 512)
    ]
    for part in parts:
        part.present["wide"] = None
    numbers = [random.permutation(products)[:size].tolist() for size in (products, 5, 900)]
    space = SpaceBatch("wide", random.normal(size=(3, dimension)).astype(np.float32), np.ones(3), np.zeros(3))
    pairs = pairs_of(parts, numbers)
    lanes = Lanes(3)
    spread = scored(parts, pairs, [space], lanes.run)
    lanes.shutdown()
    np.testing.assert_array_equal(spread.cosines, scored(parts, pairs, [space], alone).cosines)


def ranked(
    keys: Sequence[int], products: Sequence[str], limit: int, *, numbers: Sequence[int] | None = None
) -> list[int]:
    """The places of the best of pairs with these keys and products."""
    count = len(keys)
    slots = {product: slot for slot, product in enumerate(reversed(products), start=1)}
    zeros: npt.NDArray[np.int64] = np.zeros(count, dtype=np.int64)
    found = Scored(
        zeros,
        zeros,
        zeros,
        indices(*(numbers or range(count))),
        indices(*(slots[product] for product in products)),
        np.zeros((1, count), dtype=np.float32),
        indices(*keys),
    )
    places: list[int] = best(found, np.arange(count), lambda pair: products[pair], limit).tolist()
    return places


def test_the_best_come_first_and_equals_by_product_id() -> None:
    """Also where equals are on both sides of the limit, whatever the order they were given in."""
    assert ranked([5, 9, 7], "abc", 10) == [1, 2, 0]
    assert ranked([7, 7, 9, 7], "dbca", 10) == [2, 3, 1, 0]
    assert ranked([7, 7, 9, 7], "dbca", 2) == [2, 3]
    assert ranked([7, 7, 9, 7], "dbca", 3) == [2, 3, 1]
    assert ranked([1, 1, 1, 1], "dbca", 1) == [3]
    assert ranked([], "", 5) == []


def test_a_product_comes_once_with_its_best_photo() -> None:
    """Of equally good photos the one that was given first counts, and takes no place from another product."""
    assert ranked([5, 8, 6], "aab", 10) == [1, 2]
    assert ranked([8, 8, 6], "aab", 2, numbers=[31, 30, 7]) == [1, 2]
    assert ranked([8, 8, 8, 8], "aaab", 2) == [0, 3]
    assert ranked([8, 8, 8, 8], "bbba", 1) == [3]


def ranking(pairs: Sequence[tuple[int, str]], limit: int) -> list[tuple[int, str]]:
    """As `best` should rank keys and products: the best key of each, by key and then by product."""
    highest: dict[str, int] = {}
    for key, product in pairs:
        highest[product] = max(key, highest.get(product, key))
    return sorted(((key, product) for product, key in highest.items()), key=lambda e: (-e[0], e[1]))[:limit]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.sampled_from("abcdefgh")), max_size=30), st.integers(1, 10))
def test_ranks_as_the_reference(pairs: list[tuple[int, str]], limit: int) -> None:
    """Whatever the ties: keys and products are those of a plain sort."""
    places = ranked([key for key, _ in pairs], [product for _, product in pairs], limit)
    assert [pairs[place] for place in places] == ranking(pairs, limit)

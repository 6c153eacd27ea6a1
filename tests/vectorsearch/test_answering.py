from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from services.mesh.errors import FailedPrecondition, InvalidArgument, VitrineError
from services.vectorsearch import wire
from services.vectorsearch.answering import Answerer
from services.vectorsearch.changes import Deleted
from services.vectorsearch.lanes import Kernel, Lanes
from services.vectorsearch.requests import Search
from services.vectorsearch.shard import Shard
from tests.vectorsearch.products import DIMENSIONS, photo, simple, unit, vector_message, written
from vitrine.v1 import common_pb2, vectorsearch_pb2

Response = vectorsearch_pb2.SearchVectorsResponse
KIND = ("shop", "g1", (("clip", DIMENSIONS["clip"]),))


class Interrupted(Lanes):
    """One thread, which does something else before it reads the first row."""

    def __init__(self, first: Callable[[], object]) -> None:
        super().__init__(1)
        self._first = [first]

    def run(self, kernel: Kernel, rows: int, width: int) -> None:
        if self._first:
            self._first.pop()()
        super().run(kernel, rows, width)


@pytest.fixture
def shard() -> Shard:
    """Products p0 to p19, odd ones red and even ones blue."""
    shard = Shard()
    shard.apply(
        [simple(n, n + 1, colour=["red" if n % 2 else "blue"], price=[float(n)]) for n in range(20)],
        revision=20,
    )
    return shard


@pytest.fixture
def lanes() -> Iterator[Lanes]:
    lanes = Lanes(1)
    yield lanes
    lanes.shutdown()


def search_for(seed: int, *, space: str = "clip", model: str | None = None, **more: Any) -> Search:
    vector = vector_message(space, unit(seed, space))
    vector.model_digest = model or vector.model_digest
    fields: dict[str, Any] = {"catalog": "shop", "generation": "g1", "limit": 20} | more
    return wire.search_of(
        vectorsearch_pb2.SearchVectorsRequest(
            queries=[vectorsearch_pb2.SpaceQuery(vector=vector, weight=1, neutral=0.4)], **fields
        )
    )


def where(**condition: Any) -> common_pb2.Filter:
    return common_pb2.Filter(all_of=[common_pb2.Clause(any_of=[common_pb2.Condition(**condition)])])


def red() -> common_pb2.Filter:
    return where(attribute="colour", equals=common_pb2.AttributeValue(text="red"))


def response(answer: Response | VitrineError) -> Response:
    assert isinstance(answer, Response)
    return answer


def answered(shard: Shard, lanes: Lanes, *searches: Search) -> list[Response]:
    return [response(each) for each in Answerer(shard, lanes).answer(KIND, searches)]


def labels_of(answer: Response, number: int = 0) -> dict[str, tuple[str | None, float]]:
    """Value and probability of a label by product."""
    column = answer.candidates.labels[number]
    codes = np.frombuffer(column.codes, "<i2").tolist()
    probabilities = np.frombuffer(column.probabilities, "<f4").tolist()
    return {
        product_id: (column.values[code] if code >= 0 else None, probability)
        for product_id, code, probability in zip(
            answer.candidates.product_ids, codes, probabilities, strict=True
        )
    }


def test_a_product_deleted_meanwhile_has_no_labels(shard: Shard) -> None:
    """It was there when the search began, so it is found; its labels have gone, and its slot is another's."""

    def slot_of(product_id: str) -> int:
        rows = shard.rows("shop", "g1")
        assert rows is not None
        return rows.products[product_id].slot

    slot = slot_of("p3")
    lanes = Interrupted(
        lambda: shard.apply([Deleted("shop", "p3", 21), simple(99, 22, colour=["green"])], revision=22)
    )
    (answer,) = answered(shard, lanes, search_for(3, label_names=["colour"]))
    lanes.shutdown()
    assert slot_of("p99") == slot
    assert answer.candidates.product_ids[0] == "p3"
    assert "p99" not in answer.candidates.product_ids
    assert answer.revision == 20
    labels = labels_of(answer)
    assert [labels[each] for each in ("p3", "p4", "p5")] == [(None, 0), ("blue", 1), ("red", 1)]


def test_labels_are_those_of_now(shard: Shard) -> None:
    """A product that is written while a search goes on is found as it was, with the labels it has now."""
    lanes = Interrupted(
        lambda: shard.apply([written("p3", 21, attributes={"colour": ["green"]})], revision=21)
    )
    (answer,) = answered(shard, lanes, search_for(3, label_names=["colour"]))
    lanes.shutdown()
    assert answer.candidates.product_ids[0] == "p3"
    assert answer.candidates.photo_ids[0] == "front"
    assert labels_of(answer)["p3"] == ("green", 1)
    (after,) = answered(shard, lanes, search_for(3))
    assert "p3" not in after.candidates.product_ids


def test_what_is_wrong_with_one_search_is_its_own_answer(shard: Shard, lanes: Lanes) -> None:
    """Another model or dimension is refused at its place; the others of the batch are answered in order."""
    short = search_for(2, space="triplet")
    ((query, _),) = short.queries
    wrong = Search(
        short.request, [(type(query)("clip", query.vector, 1.0, 0.4), "model-clip")], short.narrowed
    )
    first, model, dimension, last = Answerer(shard, lanes).answer(
        KIND, [search_for(1), search_for(2, model="other"), wrong, search_for(4)]
    )
    assert response(first).candidates.product_ids[0] == "p1"
    assert isinstance(model, FailedPrecondition)
    assert model.reason == "MODEL_MISMATCH"
    assert isinstance(dimension, InvalidArgument)
    assert dimension.field == "queries[0].vector.data"
    assert response(last).candidates.product_ids[0] == "p4"


def test_a_batch_of_which_nothing_can_be_answered(shard: Shard, lanes: Lanes) -> None:
    """There is nothing to search for, and each is told why."""
    answers = Answerer(shard, lanes).answer(KIND, [search_for(1, model="other"), search_for(2, model="more")])
    assert [isinstance(each, FailedPrecondition) for each in answers] == [True, True]


def test_a_generation_that_is_not_there(shard: Shard, lanes: Lanes) -> None:
    """Where another one has products the batch is refused; in an empty catalogue nothing is found."""
    with pytest.raises(FailedPrecondition, match="no rows of generation g2"):
        Answerer(shard, lanes).answer(
            ("shop", "g2", (("clip", DIMENSIONS["clip"]),)), [search_for(1, generation="g2")]
        )
    (empty,) = Answerer(shard, lanes).answer(
        ("elsewhere", "g2", (("clip", DIMENSIONS["clip"]),)),
        [search_for(1, catalog="elsewhere", generation="g2", facet_attributes=["colour"])],
    )
    answer = response(empty)
    assert (answer.plan, answer.rows_passed, answer.revision) == ("empty", 0, 20)
    assert [(facet.attribute, len(facet.values)) for facet in answer.facets] == [("colour", 0)]
    assert list(answer.unknown_attributes) == ["colour"]


def test_facets_count_who_passes_and_is_not_excluded(shard: Shard, lanes: Lanes) -> None:
    """With a filter or without, and beyond the limit of the search; products without a photo do not count."""
    shard.apply([written("bare", 21, attributes={"colour": ["red"]})])
    asked: dict[str, Any] = {
        "facet_attributes": ["colour", "price"],
        "exclude_product_ids": ["p1", "p2", "nobody"],
        "limit": 3,
    }
    every, narrowed, plain = answered(
        shard, lanes, search_for(1, **asked), search_for(1, filter=red(), **asked), search_for(1)
    )

    def counted(answer: Response) -> dict[str, int]:
        return {each.value.text: each.count for each in answer.facets[0].values}

    assert counted(every) == {"blue": 9, "red": 9}
    assert counted(narrowed) == {"red": 9}
    assert [len(answer.facets[1].values) for answer in (every, narrowed)] == [18, 9]
    assert [answer.rows_passed for answer in (every, narrowed, plain)] == [18, 9, 20]
    assert [len(answer.candidates.product_ids) for answer in (every, narrowed, plain)] == [3, 3, 20]
    assert not plain.facets
    assert not {"p1", "p2"} & {*every.candidates.product_ids, *narrowed.candidates.product_ids}


def test_facets_are_counted_beside_their_own_clauses(shard: Shard, lanes: Lanes) -> None:
    """With `disjunctive_facets`, so that other values can be chosen; hits and exclusions stay the same."""
    cheap = common_pb2.Condition(attribute="price", range=common_pb2.NumberRange(max=9))
    narrowed = red()
    narrowed.all_of.add().any_of.append(cheap)
    asked: dict[str, Any] = {
        "filter": narrowed,
        "facet_attributes": ["colour", "price", "colour"],
        "exclude_product_ids": ["p0", "p1"],
    }
    plain, beside = answered(
        shard, lanes, search_for(3, **asked), search_for(3, **asked, disjunctive_facets=True)
    )

    def values(answer: Response, number: int) -> dict[str, int]:
        return {each.value.text: each.count for each in answer.facets[number].values}

    def ranges(answer: Response) -> list[tuple[float, float, int]]:
        return [(each.min, each.max, each.count) for each in answer.facets[1].ranges]

    assert values(plain, 0) == {"red": 4}
    assert values(beside, 0) == values(beside, 2) == {"red": 4, "blue": 4}
    assert ranges(plain) == [(3, 5, 1), (5, 7, 1), (7, 10, 2)]
    assert ranges(beside) == [(3, 5, 1), (5, 7, 1), (7, 10, 2), (10, 15, 2), (15, 20, 3)]
    assert {each.value.number for each in beside.facets[1].values} == {*range(3, 20, 2)}
    assert not beside.facets[0].ranges
    assert [answer.rows_passed for answer in (plain, beside)] == [4, 4]
    assert plain.candidates == beside.candidates


def test_a_clause_about_more_than_a_facet_holds_for_it(shard: Shard, lanes: Lanes) -> None:
    """Red or cheap is a condition on products of every colour, whatever colour is chosen beside it."""
    narrowed = red()
    narrowed.all_of[0].any_of.add(attribute="price", range=common_pb2.NumberRange(max=4))
    (answer,) = answered(
        shard, lanes, search_for(3, filter=narrowed, facet_attributes=["colour"], disjunctive_facets=True)
    )
    assert {each.value.text: each.count for each in answer.facets[0].values} == {"red": 10, "blue": 3}


def test_attributes_that_nobody_ever_had_are_named_once(shard: Shard, lanes: Lanes) -> None:
    """In filters, facets, groups and labels; one that was known stays known when nobody has it any more."""
    asked: dict[str, Any] = {
        "filter": where(attribute="size", exists=True, negated=True),
        "facet_attributes": ["size", "fabric", "colour"],
        "group_by": vectorsearch_pb2.GroupBy(attribute="brand", size=1),
        "label_names": ["shape", "colour", "fabric"],
    }
    (answer,) = answered(shard, lanes, search_for(1, **asked))
    assert list(answer.unknown_attributes) == ["size", "fabric", "brand", "shape"]
    assert len(answer.candidates.product_ids) == 20
    assert {value for value, _ in labels_of(answer, 0).values()} == {None}
    shard.apply([Deleted("shop", f"p{number}", 30) for number in range(20)])
    (answer,) = answered(shard, lanes, search_for(1, **asked))
    assert list(answer.unknown_attributes) == ["size", "fabric", "brand", "shape"]
    assert not answer.facets[2].values


def test_a_group_is_capped_by_its_first_value(shard: Shard, lanes: Lanes) -> None:
    """So many of a value at most, the best of them; those without a value all come."""
    shard.apply([simple(20, 21)])
    capped, every = answered(
        shard,
        lanes,
        search_for(3, group_by=vectorsearch_pb2.GroupBy(attribute="colour", size=2), limit=100),
        search_for(3, limit=100),
    )
    order = list(every.candidates.product_ids)
    reds = [each for each in order if each != "p20" and int(each[1:]) % 2][:2]
    blues = [each for each in order if each != "p20" and not int(each[1:]) % 2][:2]
    expected = [each for each in order if each in {*reds, *blues, "p20"}]
    assert list(capped.candidates.product_ids) == expected


def vectors_of(answer: Response) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The vectors of the first candidates."""
    sent = answer.candidates.vectors
    return np.frombuffer(sent.rows, "<f2").astype(np.float32).reshape(-1, sent.dimension)


def test_vectors_come_in_half_precision(shard: Shard, lanes: Lanes) -> None:
    """Those of the best photo of each of the first candidates, in any space, and only when asked for."""
    shard.apply([written("two", 21, photo("front", {"clip": 100}), photo("back", {"clip": 3, "triplet": 5}))])
    few, many, plain = answered(
        shard,
        lanes,
        search_for(3, vector_space="triplet", vectors_limit=4),
        search_for(3, vector_space="triplet", vectors_limit=200),
        search_for(3),
    )
    assert not plain.candidates.HasField("vectors")
    sent = few.candidates.vectors
    assert (sent.space, sent.dimension) == ("triplet", DIMENSIONS["triplet"])
    seeds = {f"p{number}": number for number in range(20)} | {"two": 5}
    for answer, count in ((few, 4), (many, 20)):
        order = answer.candidates.product_ids
        expected = [unit(seeds[product_id], "triplet") for product_id in order[:count]]
        np.testing.assert_allclose(vectors_of(answer), expected, atol=1e-3)
    assert set(few.candidates.product_ids[:2]) == {"p3", "two"}


def test_a_candidate_without_a_vector_has_none(shard: Shard) -> None:
    """One whose best photo has no vector in the space, or that has gone meanwhile, is a row of NaN."""
    shard.apply([written("bare", 21, photo("front", {"clip": 3})), simple(50, 22)])
    lanes = Interrupted(
        lambda: shard.apply([Deleted("shop", "p3", 23), simple(99, 24), written("p50", 25)], revision=25)
    )
    (answer,) = answered(shard, lanes, search_for(3, vector_space="triplet", vectors_limit=200, limit=100))
    lanes.shutdown()
    order = answer.candidates.product_ids
    assert {"bare", "p3", "p50"} < set(order)
    missing = np.isnan(vectors_of(answer)).all(axis=1)
    assert {each for each, is_missing in zip(order, missing, strict=True) if is_missing} == {
        "bare",
        "p3",
        "p50",
    }


def test_a_space_that_nobody_has_a_vector_in_has_no_vectors(shard: Shard, lanes: Lanes) -> None:
    """There is nothing to send, and not even a dimension to tell."""
    (answer,) = answered(shard, lanes, search_for(3, vector_space="resnet18", vectors_limit=5))
    assert len(answer.candidates.product_ids) == 20
    assert not answer.candidates.HasField("vectors")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"vector_space": "clip", "vectors_limit": 201}, "vectors_limit"),
        ({"vector_space": "clip", "vectors_limit": -1}, "vectors_limit"),
        ({"vectors_limit": 1}, "vector_space"),
        ({"vector_space": "x" * 129}, "vector_space"),
    ],
)
def test_vectors_beyond_their_limits_are_refused(fields: dict[str, Any], field: str) -> None:
    """The field at fault is named."""
    with pytest.raises(InvalidArgument) as refused:
        search_for(1, **fields)
    assert refused.value.field == field


def test_numbers_that_are_ids_stay_apart(shard: Shard, lanes: Lanes) -> None:
    """Labels write numbers out, so that a cap on groups of them holds over shards as in each."""
    shard.apply(
        [simple(30, 21, family=[1234567.0]), simple(31, 22, family=[1234568.0]), simple(32, 23, family=[0.1])]
    )
    (answer,) = answered(shard, lanes, search_for(3, label_names=["family"], limit=100))
    labels = labels_of(answer)
    assert [labels[each][0] for each in ("p30", "p31", "p32")] == ["1234567", "1234568", "0.1"]

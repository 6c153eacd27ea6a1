from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from services.gateway import generations, query
from services.gateway.query import MAX_PARTS
from services.gateway.similarity import QueryKind
from services.mesh import profiles
from services.mesh.errors import FailedPrecondition, InvalidArgument
from tests.gateway.rigs import CATALOG, image, product, text
from vitrine.v1 import common_pb2, embedder_pb2, search_pb2, vectorsearch_pb2

MODELS = [
    embedder_pb2.ModelInfo(
        spec=common_pb2.SpaceSpec(space=space, model_digest="d", dimension=4, accepts_text=space == "clip")
    )
    for space in ("resnet50", "clip", "triplet")
]
GENERATION = generations.frozen(MODELS)


def _read(*parts: search_pb2.QueryPart, **fields: Any) -> query.Query:
    request = search_pb2.SearchRequest(catalog=CATALOG, parts=parts, **fields)
    return query.read(request, GENERATION, max_image_bytes=1 << 20)


def _where(**condition: Any) -> common_pb2.Filter:
    return common_pb2.Filter(all_of=[common_pb2.Clause(any_of=[common_pb2.Condition(**condition)])])


def _boxed(**box: float) -> search_pb2.QueryPart:
    part = image(b"x")
    part.image.box.CopyFrom(common_pb2.BoundingBox(**box))
    return part


def _vector(space: str, data: bytes) -> search_pb2.QueryPart:
    return search_pb2.QueryPart(vector=common_pb2.Vector(space=space, data=data))


def _group(attribute: str, size: int) -> vectorsearch_pb2.GroupBy:
    return vectorsearch_pb2.GroupBy(attribute=attribute, size=size)


CONDITION = "filter.all_of[0].any_of[0]"
TEXT = common_pb2.AttributeValue(text="x")


@pytest.mark.parametrize(
    ("parts", "fields", "field"),
    [
        ([], {}, "parts"),
        ([text("a")] * (MAX_PARTS + 1), {}, "parts"),
        ([search_pb2.QueryPart()], {}, "parts[0]"),
        ([text(" ")], {}, "parts[0].text"),
        ([text("a" * 1001)], {}, "parts[0].text"),
        ([text("a"), image(b"")], {}, "parts[1].image.content"),
        ([image(b"x" * (2 << 20))], {}, "parts[0].image.content"),
        ([text("a", weight=0)], {}, "parts[0].weight"),
        ([text("a", weight=float("nan"))], {}, "parts[0].weight"),
        ([text("a", weight=-1)], {}, "parts"),
        ([product("a b")], {}, "parts[0].product"),
        ([product("catalogs/other/products/p1")], {}, "parts[0].product"),
        ([search_pb2.QueryPart(vector=common_pb2.Vector(space="no"))], {}, "parts[0].vector.space"),
        ([text("a")], {"k": 0}, "k"),
        ([text("a")], {"k": 10_000}, "k"),
        ([text("a")], {"profile": "no"}, "profile"),
        ([text("a")], {"min_revision": -1}, "min_revision"),
        ([text("a")], {"max_staleness": Duration(seconds=-1)}, "max_staleness"),
        ([text("a")], {"facets": ["colour"] * 2}, "facets[1]"),
        ([text("a")], {"facets": ["Bad Name"]}, "facets[0]"),
        ([text("a")], {"group_by": _group("", 1)}, "group_by.attribute"),
        ([text("a")], {"group_by": _group("Bad Name", 1)}, "group_by.attribute"),
        ([text("a")], {"group_by": _group("colour", 0)}, "group_by.size"),
        ([text("a")], {"group_by": _group("colour", 11)}, "group_by.size"),
        ([text("a")], {"diversity": -0.1}, "diversity"),
        ([text("a")], {"diversity": 1.1}, "diversity"),
        ([text("a")], {"diversity": float("nan")}, "diversity"),
        ([text("a")], {"min_similarity": -1}, "min_similarity"),
        ([text("a")], {"min_similarity": 100.5}, "min_similarity"),
        ([text("a")], {"facets": [f"f{i}" for i in range(17)]}, "facets"),
        ([_boxed(left=0, top=0, right=2, bottom=1)], {}, "parts[0].image.box"),
        ([_boxed(left=0.5, top=0, right=0.5, bottom=1)], {}, "parts[0].image.box"),
        ([text("a")], {"filter": common_pb2.Filter(all_of=[common_pb2.Clause()] * 17)}, "filter.all_of"),
        ([text("a")], {"filter": common_pb2.Filter(all_of=[common_pb2.Clause()])}, "filter.all_of[0].any_of"),
        ([text("a")], {"filter": _where(attribute="A b", exists=True)}, f"{CONDITION}.attribute"),
        ([text("a")], {"filter": _where(attribute="a")}, CONDITION),
        ([text("a")], {"filter": _where(attribute="a", equals={})}, f"{CONDITION}.equals"),
        (
            [text("a")],
            {"filter": _where(attribute="a", equals={"text": "x" * 257})},
            f"{CONDITION}.equals.text",
        ),
        (
            [text("a")],
            {"filter": _where(attribute="a", equals={"number": float("inf")})},
            f"{CONDITION}.equals.number",
        ),
        ([text("a")], {"filter": _where(attribute="a", **{"in": {}})}, f"{CONDITION}.in"),
        (
            [text("a")],
            {"filter": _where(attribute="a", **{"in": {"values": [TEXT, common_pb2.AttributeValue()]}})},
            f"{CONDITION}.in.values[1]",
        ),
        ([text("a")], {"filter": _where(attribute="a", range={})}, f"{CONDITION}.range"),
        ([text("a")], {"filter": _where(attribute="a", range={"min": 2, "max": 1})}, f"{CONDITION}.range"),
    ],
)
def test_bad_input_names_its_field(parts: Any, fields: Any, field: str) -> None:
    """Whatever is wrong with a request is refused with the field's path."""
    with pytest.raises(InvalidArgument) as refused:
        _read(*parts, **fields)
    assert refused.value.field == field


def test_good_filters_are_taken() -> None:
    """Every kind of test passes when it is complete, on attributes and on inferred labels."""
    for condition in (
        {"exists": False},
        {"equals": {"flag": False}},
        {"range": {"min": 1}},
        {"range": {"max": 1}},
        {"in": {"values": [TEXT]}},
    ):
        _read(text("a"), filter=_where(attribute="inferred.gender", **condition))


def test_defaults_are_made_explicit() -> None:
    """What is left out has its documented default, and equal requests have one digest."""
    read = _read(text(" a "), product("p1"), product(f"{CATALOG}/products/p1"))
    assert (read.k, read.max_staleness_s, read.profile.name) == (10, 2.0, "similar")
    assert read.kind is QueryKind.IMAGE
    assert read.product_ids == ["p1"]
    assert read.text == "a"
    same = _read(
        text("a", weight=1),
        product("p1"),
        product("p1"),
        k=10,
        profile="similar",
        min_revision=7,
        refuse_partial=True,
    )
    assert same.digest == read.digest
    assert _read(text("a"), product("p1"), product("p1"), explain=True).digest != read.digest


@pytest.mark.parametrize(
    "fields",
    [
        {"group_by": _group("colour", 1)},
        {"group_by": _group("inferred.gender", 10)},
        {"diversity": 0.5},
        {"diversity": 1},
        {"min_similarity": 40},
        {"disjunctive_facets": True},
    ],
)
def test_what_changes_the_answer_changes_the_digest(fields: dict[str, Any]) -> None:
    """A cap, diversity, a threshold and how facets count make another request; at 0 they are not there."""
    plain = _read(text("a"))
    assert _read(text("a"), **fields).digest != plain.digest
    assert _read(text("a"), **fields).digest == _read(text("a"), **fields).digest
    assert _read(text("a"), diversity=0, min_similarity=0).digest == plain.digest


def test_hits_are_told_apart_where_people_would() -> None:
    """Diversity looks at the `clip` space whatever the profile, else at the heaviest of the profile."""
    assert _read(image(b"x"), profile="resnet50").vector_space == "clip"
    bare = generations.frozen([MODELS[0], MODELS[2]])
    request = search_pb2.SearchRequest(catalog=CATALOG, parts=[image(b"x")])
    assert query.read(request, bare, max_image_bytes=9).vector_space == "triplet"


def test_visual_weights_are_those_of_the_spaces_reached() -> None:
    """The weights of the spaces that a query has vectors in are scaled to the sum of all."""
    assert _read(text("a")).visual == {"clip": pytest.approx(1.0)}
    assert _read(text("a")).kind is QueryKind.TEXT
    mixed = _read(text("a"), _vector("triplet", bytes(16))).visual
    weights = profiles.profiles(["clip", "triplet"])["similar"]
    assert mixed == {
        "clip": pytest.approx(weights["visual.clip"]),
        "triplet": pytest.approx(weights["visual.triplet"]),
    }


def test_a_generation_without_a_text_space_refuses_words() -> None:
    """A text has nowhere to live without a space that takes texts."""
    bare = generations.frozen([MODELS[0]])
    assert generations.visual_weights(bare.profiles[0]) == {"resnet50": 1.0}
    with pytest.raises(FailedPrecondition):
        query.read(search_pb2.SearchRequest(catalog=CATALOG, parts=[text("a")]), bare, max_image_bytes=9)

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor
from pydantic import ValidationError

from services.gateway.http import openapi, problems
from services.gateway.http.bodies.base import Model
from services.gateway.http.bodies.common import Empty
from services.gateway.http.bodies.search import SearchOptions, SearchRequest
from vitrine.v1 import (
    access_pb2,
    catalog_pb2,
    common_pb2,
    embedder_pb2,
    queries_pb2,
    search_pb2,
    status_pb2,
    vectorsearch_pb2,
)

PATH_FIELDS = {
    "SearchRequest": {"catalog"},
    "BatchSearchRequest": {"catalog"},
    "BatchUpsertProductsRequest": {"catalog"},
    "RecordFeedbackRequest": {"catalog", "query_id"},
}
# Of SearchRequest, without what is searched for; and what stands for all that are empty.
WITHOUT_MESSAGE = {SearchOptions, Empty}


def described() -> list[tuple[type[Model], Descriptor]]:
    """Every model with the message of its name."""
    messages: dict[str, Descriptor] = {}
    for module in (
        *(common_pb2, catalog_pb2, search_pb2, vectorsearch_pb2),
        *(queries_pb2, access_pb2, embedder_pb2, status_pb2),
    ):
        messages |= module.DESCRIPTOR.message_types_by_name
    return [(model, messages[model.__name__]) for model in openapi.models() if model not in WITHOUT_MESSAGE]


@pytest.mark.parametrize(("model", "message"), described(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_model_has_the_fields_of_its_message(model: type[Model], message: Descriptor) -> None:
    """JSON and gRPC speak of the same fields, but for what is in the path."""
    fields = {field.alias or name for name, field in model.model_fields.items()}
    assert fields == {field.name for field in message.fields} - PATH_FIELDS.get(message.name, set())


def test_most_models_have_a_message() -> None:
    """The comparison above is not empty by accident."""
    assert len(described()) > 30


def test_a_search_becomes_its_proto() -> None:
    """Everything a search can say arrives in the proto."""
    body: dict[str, Any] = {
        "parts": [
            {
                "image": {
                    "content": base64.b64encode(b"\x00\xff").decode(),
                    "box": {"left": 0.25, "top": 0, "right": 1, "bottom": 1},
                }
            },
            {"text": "red", "weight": -0.5},
            {"vector": {"space": "clip", "encoding": "VECTOR_ENCODING_FLOAT16", "data": "AAA="}},
        ],
        "filter": {
            "all_of": [
                {
                    "any_of": [
                        {"attribute": "price", "range": {"min": 1}},
                        {"attribute": "colour", "in": {"values": [{"text": "Red"}]}, "negated": True},
                    ]
                }
            ]
        },
        "k": 5,
        "facets": ["gender"],
        "disjunctive_facets": True,
        "min_revision": "12",
        "max_staleness": "2.5s",
        "group_by": {"attribute": "brand", "size": 2},
        "diversity": 0.25,
        "min_similarity": 40,
    }
    message = search_pb2.SearchRequest(
        catalog="catalogs/demo", **SearchRequest.model_validate(body).to_fields()
    )
    assert message.parts[0].image.content == b"\x00\xff"
    assert message.parts[0].image.box.left == 0.25
    assert message.parts[1].weight == -0.5
    assert message.parts[2].vector.encoding == common_pb2.VECTOR_ENCODING_FLOAT16
    first, second = message.filter.all_of[0].any_of
    assert first.range.min == 1
    assert not first.range.HasField("max")
    assert getattr(second, "in").values[0].text == "Red"
    assert second.negated
    assert (message.k, list(message.facets), message.min_revision) == (5, ["gender"], 12)
    assert message.disjunctive_facets
    assert message.max_staleness.ToTimedelta() == timedelta(seconds=2.5)
    assert (message.group_by.attribute, message.group_by.size) == ("brand", 2)
    assert (message.diversity, message.min_similarity) == (0.25, 40)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "parts"),
        ({"parts": [{}]}, "parts[0]"),
        ({"parts": [{"text": "a", "product": "b"}]}, "parts[0]"),
        ({"parts": [{"image": {"content": "not base64!"}}]}, "parts[0].image.content"),
        ({"parts": [], "k": "many"}, "k"),
        ({"parts": [{"text": "a"}], "kk": 3}, "kk"),
        ({"parts": [], "max_staleness": "2 minutes"}, "max_staleness"),
        ({"parts": [], "group_by": {"attribute": "brand"}}, "group_by.size"),
        ({"parts": [], "diversity": "some"}, "diversity"),
        (
            {"parts": [], "filter": {"all_of": [{"any_of": [{"attribute": "a"}]}]}},
            "filter.all_of[0].any_of[0]",
        ),
    ],
)
def test_a_wrong_body_is_refused_with_its_field(body: dict[str, Any], field: str) -> None:
    """The place of a mistake is named as in the request."""
    with pytest.raises(ValidationError) as refused:
        SearchRequest.model_validate(body)
    assert problems.of_validation(refused.value.errors()).field == field

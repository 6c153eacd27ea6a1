from __future__ import annotations

import json
from typing import Any

import pytest

from tests.gateway.http.conftest import Gateway
from tests.gateway.http.fakes import drawn

SEARCH = "/v1/catalogs/demo:search"
CHEAP = {"all_of": [{"any_of": [{"attribute": "price", "range": {"max": 20}}]}]}


async def test_a_photo_alone(gateway: Gateway) -> None:
    """A photo as the body is the query; the options, and words beside it, are in the address."""
    photo = drawn("bag", "blue")
    response = await gateway.client.post(
        SEARCH,
        content=photo,
        headers={"content-type": "image/png"},
        params={"k": 3, "text": "blue", "filter": json.dumps(CHEAP), "facets": ["gender", "colour"]},
    )
    assert response.status_code == 200
    request = gateway.search.requests[0]
    assert [part.WhichOneof("source") for part in request.parts] == ["image", "text"]
    assert request.parts[0].image.content == photo
    assert (request.k, list(request.facets)) == (3, ["gender", "colour"])
    assert request.filter.all_of[0].any_of[0].range.max == 20


async def test_words_in_the_address(gateway: Gateway) -> None:
    """An address can be a search, which nobody may keep."""
    response = await gateway.client.get(
        SEARCH,
        params={
            "text": "red shoes",
            "product": "bag-red-men",
            "k": 2,
            "read_mask": "title,attributes.price",
            "group_by": json.dumps({"attribute": "colour", "size": 1}),
            "max_staleness": "1s",
        },
    )
    assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")
    request = gateway.search.requests[0]
    assert [part.WhichOneof("source") for part in request.parts] == ["text", "product"]
    assert list(request.read_mask.paths) == ["title", "attributes.price"]
    assert (request.group_by.size, request.max_staleness.seconds) == (1, 1)


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({}, "parts"),
        ({"text": "a", "k": "many"}, "k"),
        ({"text": "a", "q": "b"}, "q"),
        ({"text": "a", "parts": "[]"}, "parts"),
        ({"text": "a", "k": ["1", "2"]}, "k"),
        ({"text": "a", "filter": "{"}, "filter"),
        ({"text": "a", "filter": '{"all_of": [], "all_of": []}'}, "filter.all_of"),
        ({"text": "a", "filter": "[" * 5000}, "filter"),
    ],
)
async def test_a_wrong_address_is_refused_with_its_field(
    gateway: Gateway, params: dict[str, Any], field: str
) -> None:
    """Mistakes in an address are named like those of JSON."""
    response = await gateway.client.get(SEARCH, params=params)
    assert (response.status_code, response.json()["field"]) == (400, field)


async def test_options_are_said_in_one_place(gateway: Gateway) -> None:
    """With a body that has options of its own those of the address are refused rather than lost."""
    response = await gateway.client.post(SEARCH, json={"parts": [{"text": "a"}]}, params={"k": 1})
    assert (response.status_code, response.json()["field"]) == (400, "k")
    form = await gateway.client.post(SEARCH, data={"text": "a"}, files={"image": b"x"}, params={"k": 1})
    assert (form.status_code, form.json()["field"]) == (400, "k")


async def test_several_searches_at_once(gateway: Gateway) -> None:
    """Each search has its own answer or its own problem."""
    body = {"requests": [{"parts": [{"text": "red"}], "k": 2}, {"parts": [{"text": "red"}], "k": 500}]}
    response = await gateway.client.post("/v1/catalogs/demo:batchSearch", json=body)
    found, failed = response.json()["results"]
    assert len(found["response"]["hits"]) == 2
    assert "status" not in found
    assert (failed["status"]["field"], failed["status"]["code"]) == ("k", 3)
    assert "response" not in failed


async def test_too_many_searches_at_once_are_refused(gateway: Gateway) -> None:
    """A batch has at most 32."""
    body = {"requests": [{"parts": [{"text": "red"}]}] * 33}
    response = await gateway.client.post("/v1/catalogs/demo:batchSearch", json=body)
    assert (response.status_code, response.json()["field"]) == (400, "requests")

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.http import search_request
from services.mesh.errors import InvalidArgument
from tests.gateway.http.conftest import Gateway
from tests.gateway.http.fakes import drawn

SEARCH = "/v1/catalogs/demo:search"
BOX = {"left": 0, "top": 0, "right": 0.5, "bottom": 1}
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


async def test_facets_tell_ranges(gateway: Gateway) -> None:
    """Numbers come with their ranges, texts without; a facet counts beside its own clauses when asked to."""
    params: dict[str, Any] = {"text": "red", "filter": json.dumps(CHEAP), "facets": ["price", "gender"]}
    plain = await gateway.client.get(SEARCH, params=params)
    price, gender = plain.json()["facets"]
    assert price["ranges"] == [
        {"min": 10.0, "max": 15.0, "count": "4"},
        {"min": 15.0, "max": 20.0, "count": "3"},
    ]
    assert gender["ranges"] == []
    beside = await gateway.client.get(SEARCH, params=params | {"disjunctive_facets": "true"})
    body = {"text": "red", "facets": "price", "filter": params["filter"], "disjunctive_facets": "true"}
    form = await gateway.client.post(SEARCH, data=body, files={"image": drawn("bag", "blue")})
    for response in (beside, form):
        its = response.json()["facets"][0]
        assert len(its["ranges"]) == 6
        assert sum(int(each["count"]) for each in its["ranges"]) == 60
    assert beside.json()["facets"][1] == gender
    assert [request.disjunctive_facets for request in gateway.search.requests] == [False, True, True]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({}, "parts"),
        ({"text": "a", "k": "many"}, "k"),
        ({"text": "a", "q": "b"}, "q"),
        ({"parts": "[]"}, "parts"),
        ({"parts": '{"text": "a"}'}, "parts"),
        ({"parts": '[{"text": "a"}'}, "parts"),
        ({"parts": ['[{"text": "a"}]', '[{"text": "b"}]']}, "parts"),
        ({"parts": '[{"text": "a"}]', "text": "b"}, "text"),
        ({"parts": '[{"text": "a"}]', "product": "b"}, "product"),
        ({"parts": '[{"image": {}}]'}, "parts[0].image"),
        ({"parts": '[{"text": "a", "text": "b"}]'}, "parts.text"),
        ({"text": "a", "k": ["1", "2"]}, "k"),
        ({"text": "a", "disjunctive_facets": "perhaps"}, "disjunctive_facets"),
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


async def test_parts_in_the_address(gateway: Gateway) -> None:
    """An address tells weights and pictures by address too."""
    parts = [
        {"product": "bag-red-men"},
        {"product": "bag-blue-men", "weight": -0.5},
        {"image": {"uri": "https://shop.example/a.jpg"}},
    ]
    response = await gateway.client.get(SEARCH, params={"parts": json.dumps(parts), "k": 2})
    assert response.status_code == 200
    first, second, third = gateway.search.requests[0].parts
    assert (first.product, second.product) == ("bag-red-men", "bag-blue-men")
    assert (first.HasField("weight"), second.weight) == (False, -0.5)
    assert third.image.uri == "https://shop.example/a.jpg"


async def test_parts_beside_a_photo(gateway: Gateway) -> None:
    """The photo that is the body is that of the image without one."""
    photo = drawn("bag", "blue")
    parts = [{"text": "blue"}, {"image": {"box": BOX}, "weight": 2}]
    response = await gateway.client.post(
        SEARCH, content=photo, headers={"content-type": "image/png"}, params={"parts": json.dumps(parts)}
    )
    assert response.status_code == 200
    words, picture = gateway.search.requests[0].parts
    assert (words.text, picture.image.content, picture.weight) == ("blue", photo, 2)
    assert picture.image.box.right == 0.5


class TestParts:
    """A form whose parts are JSON."""

    @staticmethod
    async def answer(
        gateway: Gateway, parts: Any, photos: Sequence[bytes] = (), fields: Mapping[str, str] | None = None
    ) -> httpx.Response:
        content = parts if isinstance(parts, str) else json.dumps(parts)
        # Without the name of a file it is a field; httpx makes a form with parts only of files.
        field = ("parts", (None, content))
        files = [("image", ("a.png", photo)) for photo in photos]
        return await gateway.client.post(SEARCH, data=fields, files=[field, *files])

    async def test_files_are_the_photos_of_images_without_one(self, gateway: Gateway) -> None:
        """Each image that has neither content nor address is the next file, in the order of both."""
        red, blue = drawn("bag", "red"), drawn("bag", "blue")
        parts = [
            {"image": {"box": BOX}, "weight": 0.5},
            {"text": "small"},
            {"image": {"content": base64.b64encode(b"mine").decode()}},
            {"product": "bag-red-men", "weight": -0.25},
            {"image": {"uri": "https://shop.example/a.jpg", "content": None}},
            {"image": {}},
        ]
        response = await self.answer(gateway, parts, [red, blue], {"k": "3", "facets": "colour"})
        assert response.status_code == 200
        request = gateway.search.requests[0]
        cropped, words, given, product, fetched, whole = request.parts
        assert (cropped.image.content, cropped.image.box.right, cropped.weight) == (red, 0.5, 0.5)
        assert (words.text, product.product, product.weight) == ("small", "bag-red-men", -0.25)
        assert (given.image.content, fetched.image.content) == (b"mine", b"")
        assert (whole.image.content, whole.image.HasField("box")) == (blue, False)
        assert (request.k, list(request.facets)) == (3, ["colour"])

    async def test_no_file_is_needed(self, gateway: Gateway) -> None:
        """A form of words and products alone has parts too."""
        assert (await self.answer(gateway, [{"text": "red"}, {"product": "bag-red-men"}])).status_code == 200
        assert [part.WhichOneof("source") for part in gateway.search.requests[0].parts] == ["text", "product"]

    @pytest.mark.parametrize(
        ("parts", "files", "fields", "field"),
        [
            ("[", 0, {}, "parts"),
            ("", 0, {}, "parts"),
            ("7", 1, {}, "parts"),
            ("[]", 1, {}, "parts"),
            ([{"text": "a"}] * 9, 0, {}, "parts"),
            ([{}], 1, {}, "parts[0]"),
            ([{"image": {}, "text": "a"}], 1, {}, "parts[0]"),
            ([{"text": "a"}], 1, {}, "image"),
            ([{"image": {}}], 2, {}, "image"),
            ([{"image": {"uri": "https://shop.example/a.jpg"}}], 1, {}, "image"),
            ([{"image": {"content": ""}}], 1, {}, "image"),
            ([{"text": "a"}, {"image": {}}, {"image": {}}], 1, {}, "parts[2].image"),
            ([{"image": {"box": BOX | {"right": 1.5}}}], 1, {}, "parts[0].image.box.right"),
            ([{"image": {"box": {"left": 0}}}], 1, {}, "parts[0].image.box.top"),
            ([{"image": {"file": 1}}], 1, {}, "parts[0].image.file"),
            ([{"text": "a", "weight": "much"}], 0, {}, "parts[0].weight"),
            ([{"text": "a"}], 0, {"text": "b"}, "text"),
            ([{"text": "a"}], 0, {"product": "b"}, "product"),
            ([{"text": "a"}], 0, {"parts": "[]"}, "parts"),
        ],
    )
    async def test_wrong_parts_are_refused_with_their_field(
        self, gateway: Gateway, parts: Any, files: int, fields: dict[str, str], field: str
    ) -> None:
        """A mistake is named as in JSON; a file that is no part's is named as the form has it."""
        response = await self.answer(gateway, parts, [drawn("bag", "red")] * files, fields)
        assert (response.status_code, response.json()["field"]) == (400, field)
        assert gateway.search.requests == []


@given(
    wants=st.lists(st.sampled_from(["file", "words", "uri"]), min_size=1, max_size=8),
    files=st.integers(0, 8),
)
def test_every_file_is_used_once_and_in_order(wants: list[str], files: int) -> None:
    """A form is taken if and only if it has a file for each image that wants one."""
    kinds: dict[str, Any] = {
        "file": {"image": {"box": BOX}},
        "words": {"text": "red"},
        "uri": {"image": {"uri": "https://shop.example/a.jpg"}},
    }
    photos = [bytes([place]) for place in range(files)]
    fields = [("parts", json.dumps([kinds[kind] for kind in wants]))]
    if wants.count("file") != files:
        with pytest.raises(InvalidArgument):
            search_request._search(photos, fields)
        return
    search = search_request._search(photos, fields)
    assert [part.image.content for part in search.parts if part.image and part.image.box] == photos
    assert [kind for kind, part in zip(wants, search.parts, strict=True) if part.text] == ["words"] * (
        wants.count("words")
    )


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

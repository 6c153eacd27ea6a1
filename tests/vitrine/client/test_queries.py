import struct
from pathlib import Path
from typing import Any

import pytest

from services.mesh.errors import InvalidArgument
from vitrine.client.filters import Range
from vitrine.client.queries import Box, GroupBy, Part, Vector, search_request


def test_every_argument_reaches_the_request(tmp_path: Path) -> None:
    """What a caller asks for is what the gateway is asked for."""
    picture = tmp_path / "shoe.jpg"
    picture.write_bytes(b"jpeg")
    request = search_request(
        "shop",
        {
            "text": "red",
            "image": picture,
            "product": "a1",
            "parts": [Part(text="blue", weight=-0.5), Part(image=b"png")],
            "filter": {"price": Range(max=5)},
            "k": 7,
            "profile": "clip",
            "explain": True,
            "facets": ["gender"],
            "disjunctive_facets": True,
            "page_token": "t",
            "min_revision": 4,
            "max_staleness_s": 0.5,
            "refuse_partial": True,
            "group_by": GroupBy("brand", 2),
            "diversity": 0.25,
            "min_similarity": 40,
            "fields": ["title", "attributes.price"],
        },
    )
    assert request.catalog == "catalogs/shop"
    assert [part.WhichOneof("source") for part in request.parts] == [
        "text",
        "image",
        "product",
        "text",
        "image",
    ]
    assert request.parts[1].image.content == b"jpeg"
    assert not request.parts[0].HasField("weight")
    assert request.parts[3].weight == -0.5
    assert request.filter.all_of[0].any_of[0].range.max == 5
    assert (request.k, request.profile, request.explain, request.facets[:]) == (7, "clip", True, ["gender"])
    assert request.disjunctive_facets
    assert (request.page_token, request.min_revision, request.refuse_partial) == ("t", 4, True)
    assert request.max_staleness.ToNanoseconds() == 500_000_000
    assert (request.group_by.attribute, request.group_by.size) == ("brand", 2)
    assert (request.diversity, request.min_similarity) == (0.25, 40)
    assert request.read_mask.paths == ["title", "attributes.price"]


def test_pictures_come_from_files_bytes_and_addresses() -> None:
    """A text is the path of a file unless it is an address, which is sent as it is; a box says which part."""
    address = "https://shop.example/shoe.jpg"
    parts = [Part(image=address, box=Box(0.1, 0.2, 0.9, 1)), Part(image=b"http://not.an/address")]
    boxed, given = search_request("shop", {"parts": parts}).parts
    assert (boxed.image.uri, boxed.image.content) == (address, b"")
    assert [round(edge, 3) for edge in (boxed.image.box.left, boxed.image.box.bottom)] == [0.1, 1]
    assert (given.image.uri, given.image.content) == ("", b"http://not.an/address")


def test_a_vector_is_sent_as_it_is() -> None:
    """Its numbers are little-endian floats, and its space and model go with it."""
    (part,) = search_request("shop", {"parts": [Part(vector=Vector("clip", "d1", [1.0, -0.5]))]}).parts
    assert (part.vector.space, part.vector.model_digest) == ("clip", "d1")
    assert struct.unpack("<2f", part.vector.data) == (1.0, -0.5)


def test_what_is_not_given_is_left_to_the_server() -> None:
    """Absent arguments stay absent in the request, so that the server's defaults hold."""
    request = search_request("shop", {"text": "red"})
    assert not request.HasField("k")
    assert not request.HasField("filter")
    assert not request.HasField("max_staleness")
    assert not request.HasField("group_by")
    assert not request.HasField("read_mask")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({}, "query"),
        ({"text": None, "k": 3}, "query"),
        ({"image": "/no/such/file"}, "image"),
        ({"parts": [Part()]}, "parts[0]"),
        ({"parts": [Part(text="a"), Part(text="a", product="b")]}, "parts[1]"),
        ({"parts": [Part(text="a", box=Box(0, 0, 1, 1))]}, "parts[0].box"),
        ({"text": "a", "fields": "title"}, "fields"),
    ],
)
def test_a_query_that_is_none_is_refused_by_field(query: Any, field: str) -> None:
    """An empty query, a file that is missing, and a part that is not exactly one thing name the field."""
    with pytest.raises(InvalidArgument) as caught:
        search_request("shop", query)
    assert caught.value.field == field


def test_an_argument_that_does_not_exist_is_a_type_error() -> None:
    """A misspelt argument is no argument."""
    with pytest.raises(TypeError, match="kay"):
        search_request("shop", {"text": "a", "kay": 3})  # type: ignore[typeddict-unknown-key]


def test_a_bad_catalogue_id_is_refused() -> None:
    """The catalogue's id is checked before anything is sent."""
    with pytest.raises(InvalidArgument) as caught:
        search_request("Shop!", {"text": "a"})
    assert caught.value.field == "catalog"

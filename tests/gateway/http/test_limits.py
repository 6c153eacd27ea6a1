"""Requests that were made to harm, by name: each is refused with problem details of 4xx."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.gateway.http.conftest import Gateway

SEARCH = "/v1/catalogs/demo:search"
UPSERT = "/v1/catalogs/demo/products:batchUpsert"
JSON = {"content-type": "application/json"}
MANY = 1 << 17


async def refused(response: httpx.Response, *statuses: int) -> dict[str, Any]:
    """The problem that a request was refused with."""
    assert response.status_code in (statuses or (400,)), response.text[:400]
    assert response.headers["content-type"] == "application/problem+json"
    assert len(response.content) < 2000
    problem: dict[str, Any] = response.json()
    return problem


def deep_filter(depth: int) -> bytes:
    return b'{"parts":[{"text":"a"}],"filter":' + b'{"all_of":[' * depth + b"]}" * depth + b"}"


BOMBS = {
    "lists within lists": b"[" * MANY,
    "lists within lists, closed": b"[" * MANY + b"]" * MANY,
    "objects within objects": b'{"parts":' * MANY + b"1" + b"}" * MANY,
    "a filter within filters": deep_filter(400),
    "a filter a little too deep": deep_filter(3),
    "more values than anybody reads": b'{"parts":[' + b"[]," * (1 << 20) + b"1]}",
    "wrong items without end": b'{"parts":[' + b"1," * 500_000 + b"1]}",
    "right items without end": b'{"parts":[' + b'{"text":"a"},' * 50_000 + b'{"text":"a"}]}',
    "names without end": json.dumps({f"name{i}": i for i in range(MANY)}).encode(),
    "a name without end": json.dumps({"n" * (1 << 20): 1}).encode(),
    "clauses without end": json.dumps(
        {"parts": [{"text": "a"}], "filter": {"all_of": [{"any_of": []}] * 5000}}
    ).encode(),
    "facets without end": json.dumps({"parts": [{"text": "a"}], "facets": ["a"] * 5000}).encode(),
    "a mask without end": json.dumps({"parts": [{"text": "a"}], "read_mask": "a," * 5000 + "a"}).encode(),
}


@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS)
async def test_json_bombs(gateway: Gateway, body: bytes) -> None:
    """What is small on the wire and large in memory is refused."""
    await refused(await gateway.client.post(SEARCH, content=body, headers=JSON))
    await refused(await gateway.client.post(UPSERT, content=body, headers=JSON))
    assert not gateway.search.requests
    assert not gateway.flows.catalog.written


NUMBERS = {
    "too many digits": '"k": ' + "9" * 5000,
    "beyond 64 bits": '"min_revision": "9223372036854775808"',
    "beyond 64 bits as a number": '"min_revision": 1e30',
    "beyond 32 bits": '"k": 4294967296',
    "below 32 bits": '"k": -2147483649',
    "a part of one": '"k": 1.5',
    "a flag": '"k": true',
    "not a number": '"diversity": NaN',
    "not a number, in words": '"diversity": "NaN"',
    "infinite": '"diversity": Infinity',
    "infinite, in words": '"min_similarity": "-Infinity"',
    "infinite, in digits": '"diversity": 1e999',
    "a duration beyond all": '"max_staleness": "99999999999999s"',
    "a negative duration": '"max_staleness": "-1s"',
    "a flag as a number of a filter": '"filter": {"all_of": [{"any_of": [{"attribute": "a", "equals": '
    '{"number": true}}]}]}',
}


@pytest.mark.parametrize("field", NUMBERS.values(), ids=NUMBERS)
async def test_numbers_that_are_none(gateway: Gateway, field: str) -> None:
    """Numbers out of range, of a million digits, and such that are none are refused with their field."""
    body = '{"parts": [{"text": "a"}], ' + field + "}"
    problem = await refused(await gateway.client.post(SEARCH, content=body, headers=JSON))
    assert problem["reason"] == "INVALID_ARGUMENT"
    assert not gateway.search.requests


AMBIGUITIES = {
    "a field twice": b'{"parts": [{"text": "a"}], "k": 1, "k": 100}',
    "a part twice": b'{"parts": [{"text": "a", "text": "b"}]}',
    "a name that is half a character twice": b'{"\\ud800": 1, "\\ud800": 2}',
    "a field that is half a character": b'{"parts": [{"text": "a"}], "\\ud800": 1}',
    "half a character": b'{"parts": [{"text": "\\udfff"}]}',
    "bytes that are no text": b'{"parts": [{"text": "\xc3("}]}',
    "another encoding": '{"parts": [{"text": "a"}]}'.encode("utf-16"),
    "two documents": b'{"parts": [{"text": "a"}]}{}',
    "two sources": b'{"parts": [{"text": "a", "product": "b"}]}',
    "a misspelt field": b'{"parts": [{"text": "a"}], "filtre": {}}',
}


@pytest.mark.parametrize("body", AMBIGUITIES.values(), ids=AMBIGUITIES)
async def test_what_readers_disagree_about(gateway: Gateway, body: bytes) -> None:
    """What another reader could take for something else is refused."""
    await refused(await gateway.client.post(SEARCH, content=body, headers=JSON))
    assert not gateway.search.requests


PATHS = {
    "an encoded slash": "/v1/catalogs/demo%2Fproducts%2Fbag-red-men",
    "an encoded slash in lower case": "/v1/catalogs/demo%2fproducts%2fbag-red-men",
    "an encoded slash of a method": "/v1%2fcatalogs/demo",
    "an encoded backslash": "/v1/catalogs/demo%5c..%5cother",
    "encoded dots": "/v1/catalogs/%2e%2e/%2e%2e/etc/passwd",
    "a NUL": "/v1/catalogs/demo/products/bag-red-men%00",
    "a slash encoded twice": "/v1/catalogs/demo%252fproducts",
    "dots of a picture": "/media/..%2f..%2fetc%2fpasswd",
    "dots of a page": "/..%2f..%2fetc%2fpasswd",
    "a picture with an absolute path": "/media/%2fetc%2fpasswd",
    "a slash too many": "/v1/catalogs//demo",
    "a slash at the end": "/v1/catalogs/demo/",
    "an overlong slash": "/v1/catalogs/demo%c0%afproducts",
    "a catalogue of dots": "/v1/catalogs/..%3b/x",
    "a line feed": "/v1/catalogs/demo%0d%0aset-cookie:%20a",
    "letters that only look like them": "/v1/catalogs/%D0%B4emo",
    "a product of too many characters": "/v1/catalogs/demo/products/" + "a" * 129,
    "a product with a quote": "/v1/catalogs/demo/products/a%27%20or%201=1",
    "a key with a slash": "/v1/apiKeys/a%2fb",
    "a generation of zero": "/v1/catalogs/demo/generations/g0",
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_paths_in_disguise(gateway: Gateway, method: str, path: str) -> None:
    """No path is taken for another than it shows, and none leaves a directory."""
    stock = dict(gateway.flows.catalog.stock)
    await refused(await gateway.client.request(method, path), 400, 404, 405)
    assert gateway.flows.catalog.stock == stock


async def test_header_floods(gateway: Gateway) -> None:
    """More headers, or larger ones, than anybody sends are refused."""
    many = [(f"x-{i}", "a") for i in range(101)]
    for headers in (many, [("x-large", "a" * (33 << 10))]):
        problem = await refused(await gateway.client.get("/v1/catalogs", headers=headers), 431)
        assert problem["reason"] == "REQUEST_HEADER_FIELDS_TOO_LARGE"


async def test_a_query_without_end(gateway: Gateway) -> None:
    """An address has its limits too."""
    response = await gateway.client.get("/v1/catalogs", params={"page_token": "a" * (17 << 10)})
    assert (await refused(response, 414))["reason"] == "URI_TOO_LONG"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("page_size=99999999999999999999", "page_size"),
        ("page_size=-1", "page_size"),
        ("page_size=1001", "page_size"),
        ("page_size=1&page_size=2", "page_size"),
        ("pagesize=1", "pagesize"),
        ("read_mask=title,,price", "read_mask"),
        ("read_mask=" + "a," * 200 + "a", "read_mask"),
        ("near_duplicates_only=perhaps", "near_duplicates_only"),
    ],
)
async def test_parameters_that_are_none(gateway: Gateway, query: str, field: str) -> None:
    """Parameters out of range, unknown, or given twice are refused by name."""
    response = await gateway.client.get(f"/v1/catalogs/demo/products?{query}")
    assert (await refused(response))["field"] == field


@pytest.mark.parametrize(
    "query",
    [
        "start_time=yesterday",
        "start_time=1700000000",
        "start_time=2026-03-01T12:00:00",
        "start_time=0001-01-01T00:00:00%2B14:00",
        "end_time=9999-12-31T23:59:59-14:00",
        "end_time=2026-02-30T00:00:00Z",
    ],
)
async def test_times_that_are_none(gateway: Gateway, query: str) -> None:
    """A time has a date that there is, a zone, and a year that there is in every zone."""
    response = await gateway.client.get(f"/v1/catalogs/demo/queries?{query}")
    assert (await refused(response))["field"] == query.partition("=")[0]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/xml"])
async def test_bodies_of_another_type(gateway: Gateway, kind: str) -> None:
    """What the form of another site can send without being asked writes nothing."""
    headers = {"content-type": kind} if kind else {}
    body = b'{"catalog_id": "x", "products": []}'
    for path in ("/v1/catalogs", UPSERT, SEARCH):
        await refused(await gateway.client.post(path, content=body, headers=headers), 415)

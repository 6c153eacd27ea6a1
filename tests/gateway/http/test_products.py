from __future__ import annotations

from typing import Any

import pytest

from tests.gateway.http.conftest import Gateway

PRODUCTS = "/v1/catalogs/demo/products"
KNOWN = f"{PRODUCTS}/bag-red-men"


def asked(gateway: Gateway) -> Any:
    """The last request that reached the flow."""
    return gateway.flows.catalog.asked[-1]


async def test_a_product_is_created(gateway: Gateway) -> None:
    """Its id is a parameter, its fields are the body, and its etag comes with it."""
    body = {"title": "New", "photos": [{"image": {"uri": "https://cdn.shop.example/1.jpg"}}]}
    response = await gateway.client.post(PRODUCTS, json=body, params={"product_id": "new", "request_id": "r"})
    assert (response.status_code, response.headers["etag"]) == (201, '"fresh"')
    assert response.json()["product"]["name"] == "catalogs/demo/products/new"
    request = asked(gateway)
    assert (request.parent, request.product_id, request.request_id) == ("catalogs/demo", "new", "r")
    assert request.product.photos[0].image.uri == "https://cdn.shop.example/1.jpg"
    again = await gateway.client.post(PRODUCTS, json=body, params={"product_id": "new"})
    assert (again.status_code, again.json()["reason"]) == (409, "ALREADY_EXISTS")


@pytest.mark.parametrize(
    ("params", "field"),
    [({}, "product_id"), ({"product_id": "a b"}, "product_id"), ({"product": "a"}, "product")],
)
async def test_a_product_is_created_by_its_id_alone(
    gateway: Gateway, params: dict[str, str], field: str
) -> None:
    """Without an id, with a wrong one or a misspelt parameter nothing is created."""
    response = await gateway.client.post(PRODUCTS, json={"title": "New"}, params=params)
    assert (response.status_code, response.json()["field"]) == (400, field)
    assert not gateway.flows.catalog.asked


async def test_fields_of_a_product_are_changed(gateway: Gateway) -> None:
    """The mask, the etag of the header and the options arrive."""
    response = await gateway.client.patch(
        KNOWN,
        json={"title": "Changed"},
        params={"update_mask": "title, attributes.price", "allow_missing": "true", "request_id": "r"},
        headers={"if-match": '"e33"'},
    )
    request = asked(gateway)
    assert request.product.name == "catalogs/demo/products/bag-red-men"
    assert list(request.update_mask.paths) == ["title", "attributes.price"]
    assert (request.product.etag, request.allow_missing, request.request_id) == ("e33", True, "r")
    assert (response.status_code, response.json()["reason"]) == (409, "ETAG_MISMATCH")


async def test_what_was_read_can_be_changed_and_written_back(gateway: Gateway) -> None:
    """A product as it was read is a body of a change, and only while it is still that."""
    read = await gateway.client.get(KNOWN)
    product = read.json()["product"]
    assert read.headers["etag"] == f'"{product["etag"]}"'
    headers = {"if-match": read.headers["etag"]}
    product["title"] = "Changed"
    first = await gateway.client.patch(KNOWN, json=product, headers=headers)
    assert (first.status_code, first.json()["product"]["title"]) == (200, "Changed")
    assert first.headers["etag"] == '"changed"'
    second = await gateway.client.patch(KNOWN, json={"title": "Lost"}, headers=headers)
    assert second.status_code == 409


@pytest.mark.parametrize(
    ("header", "body", "field"),
    [
        ('W/"e1"', {}, "if-match"),
        ('"e1", "e2"', {}, "if-match"),
        ("e1", {}, "if-match"),
        ('""', {}, "if-match"),
        ('"e1"', {"etag": "e2"}, "etag"),
        ("*", {"name": "catalogs/demo/products/other"}, "name"),
        ("*", {"name": "catalogs/other/products/bag-red-men"}, "name"),
    ],
)
async def test_a_condition_that_cannot_be_meant_is_refused(
    gateway: Gateway, header: str, body: dict[str, str], field: str
) -> None:
    """Weak etags, several, and two of different places are refused, as is the name of another product."""
    response = await gateway.client.patch(KNOWN, json=body, headers={"if-match": header})
    assert (response.status_code, response.json()["field"]) == (400, field)
    assert not gateway.flows.catalog.asked


async def test_any_etag_will_do(gateway: Gateway) -> None:
    """A star asks for no etag in particular, and leaves one of the body alone."""
    await gateway.client.patch(KNOWN, json={"etag": "e1"}, headers={"if-match": "*"})
    assert asked(gateway).product.etag == "e1"
    await gateway.client.patch(KNOWN, json={}, headers={"if-match": "*"})
    assert not asked(gateway).product.etag


async def test_a_product_is_deleted_as_it_was_read(gateway: Gateway) -> None:
    """An etag of the header or of the parameter must be that of the product; a missing one may be meant."""
    etag = (await gateway.client.get(KNOWN)).json()["product"]["etag"]
    no: dict[str, str] = {}
    for params, headers in (({"etag": "x"}, no), (no, {"if-match": '"x"'})):
        response = await gateway.client.delete(KNOWN, params=params, headers=headers)
        assert (response.status_code, response.json()["reason"]) == (409, "ETAG_MISMATCH")
    assert (await gateway.client.delete(KNOWN, params={"etag": etag})).status_code == 200
    assert (await gateway.client.delete(KNOWN)).status_code == 404
    again = await gateway.client.delete(KNOWN, params={"allow_missing": "true", "request_id": "r"})
    assert again.json() == {"revision": "8"}
    assert (asked(gateway).allow_missing, asked(gateway).request_id) == (True, "r")


async def test_masks_and_filters_of_reads_arrive(gateway: Gateway) -> None:
    """Reads say which fields they want, and lists which products."""
    await gateway.client.get(KNOWN, params={"read_mask": "title,attributes.price"})
    assert list(asked(gateway).read_mask.paths) == ["title", "attributes.price"]
    await gateway.client.get(PRODUCTS, params={"read_mask": "etag", "near_duplicates_only": "true"})
    assert list(asked(gateway).read_mask.paths) == ["etag"]
    assert asked(gateway).near_duplicates_only

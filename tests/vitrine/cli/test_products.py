from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.vitrine.fake_gateway import FakeGateway
from vitrine import Client, Photo, Product
from vitrine.cli.main import app
from vitrine.client.filters import Value
from vitrine.v1 import catalog_pb2, common_pb2


@pytest.fixture
def shop(gateway: FakeGateway) -> FakeGateway:
    """A gateway with one catalogue of three products, of which one looks like another."""
    with Client(gateway.address, catalog="shop") as client:
        client.create_catalog()
        attributes: dict[str, Value | list[Value]] = {"colour": ["Red", "White"], "price": 9.0}
        client.upsert(
            Product(f"a{i}", f"Red [shoe] {i}", "Old.", attributes, [Photo(content=b"x%d" % i, id="p")])
            for i in range(3)
        )
    near = catalog_pb2.NearDuplicate(product="catalogs/shop/products/a0", cosine=0.99)
    gateway.catalogs["shop"]["catalogs/shop/products/a1"].near_duplicates.append(near)
    return gateway


def _products(shop: FakeGateway, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["products", *arguments, "--server", shop.address])


def _json(shop: FakeGateway, *arguments: str) -> dict[str, Any]:
    result = _products(shop, *arguments, "--json")
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def test_a_list_shows_as_many_as_are_asked_for(shop: FakeGateway) -> None:
    """People see a line a product, brackets as they are; programs get them whole, without photos' bytes."""
    shown = _products(shop, "list").stdout
    for words in ("a2", "Red [shoe] 2", "colour=Red White, price=9"):
        assert words in shown
    found = json.loads(_products(shop, "list", "--limit", "2", "--json").stdout)["products"]
    assert [product["id"] for product in found] == ["a0", "a1"]
    assert found[0]["attributes"] == {"colour": ["Red", "White"], "price": 9.0}
    assert "content" not in found[0]["photos"][0]
    assert found[1]["near_duplicates"][0]["product"] == "a0"
    assert {request.page_size for request in shop.listed} == {100, 2}


def test_a_list_is_narrowed(shop: FakeGateway) -> None:
    """Near duplicates alone, and only some fields of all of them."""
    found = _json(shop, "list", "--near-duplicates", "--fields", "title", "--limit", "0")["products"]
    assert found == [{**found[0], "id": "a1", "title": "Red [shoe] 1", "etag": "", "description": ""}]
    assert shop.listed[0].page_size == 1000
    shop.catalogs["empty"] = {}
    assert "no products" in _products(shop, "list", "--catalog", "empty").stderr


def test_a_product_is_shown(shop: FakeGateway) -> None:
    """What the shop states, its photos and its etag; or a few fields of it."""
    shown = _products(shop, "get", "a1").stdout
    for words in ("Red [shoe] 1", "Old.", "photo p", "like a0", "0.990", "etag"):
        assert words in shown
    assert _json(shop, "get", "a1", "--fields", "title, description")["title"] == "Red [shoe] 1"
    missing = _products(shop, "get", "b")
    assert missing.exit_code == 1
    assert "error: there is no catalogs/shop/products/b" in missing.stderr


def test_what_is_given_of_a_product_is_changed(shop: FakeGateway, tmp_path: Path) -> None:
    """Each option is a field of the mask; values have the types that a table's would have."""
    picture = tmp_path / "shoe.jpg"
    picture.write_bytes(b"jpeg")
    options = ("--title", "Blue shoe", "--photo", str(picture), "--photo", "https://a.example/b.jpg")
    told = _json(shop, "update", "a0", *options)
    product = told["product"]
    assert (product["title"], product["description"]) == ("Blue shoe", "Old.")
    assert product["photos"][1]["uri"] == "https://a.example/b.jpg"
    assert told["photo_problems"] == {}
    assert _products(shop, "update", "new", "--title", "New").exit_code == 1
    assert "New" in _products(shop, "update", "new", "--title", "New", "--create").stdout


def test_attributes_are_set_and_removed_one_by_one(
    shop: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repeated name has several values, and an attribute that is unset is in the mask without a value."""
    seen: list[catalog_pb2.UpdateProductRequest] = []

    def update(_: FakeGateway, request: catalog_pb2.UpdateProductRequest, __: object) -> object:
        seen.append(request)
        return catalog_pb2.UpdateProductResponse(
            photo_problems=[
                catalog_pb2.PhotoProblem(index=0, status=common_pb2.ItemStatus(code=3, message="no picture"))
            ]
        )

    monkeypatch.setattr(FakeGateway, "UpdateProduct", update)
    values = ("--set", "price=9.50", "--set", "colour = Red", "--set", "colour=Pink", "--set", "sku=0815")
    options = (*values, "--unset", "season", "--photo", "https://a.example/b.jpg", "--etag", "e1")
    with FakeGateway().serving() as changed:
        changed.catalogs["shop"] = {}
        result = _products(changed, "update", "a0", *options)
    (request,) = seen
    assert "https://a.example/b.jpg: no picture" in result.stderr
    assert request.update_mask.paths == [
        "attributes.price", "attributes.colour", "attributes.sku", "attributes.season", "photos",
    ]  # fmt: skip
    attributes = request.product.attributes
    assert attributes["price"].values[0].number == 9.5
    assert [value.text for value in attributes["colour"].values] == ["Red", "Pink"]
    assert attributes["sku"].values[0].text == "0815"
    assert "season" not in attributes
    assert request.product.etag == "e1"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "nothing to change"),
        (("--set", "price"), "error: --set: 'price' is not attribute=value"),
        (("--photo", "nowhere.jpg"), "nowhere.jpg: No such file"),
    ],
)
def test_what_cannot_be_changed_is_told(shop: FakeGateway, options: tuple[str, ...], said: str) -> None:
    """A mistake is a usage error that names what was typed."""
    result = _products(shop, "update", "a0", *options)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_product_is_deleted(shop: FakeGateway) -> None:
    """With an etag only as long as it is unchanged; one that is missing is an error unless that is fine."""
    changed = _products(shop, "delete", "a0", "--etag", "old")
    assert changed.exit_code == 1
    assert "it was changed meanwhile" in changed.stderr
    assert _json(shop, "delete", "a0") == {"revision": shop.revision}
    assert "deleted" in _products(shop, "delete", "a1").stdout
    assert _products(shop, "delete", "a0").exit_code == 1
    assert _products(shop, "delete", "a0", "--missing-ok").exit_code == 0


def test_an_id_that_no_product_can_have_is_refused(shop: FakeGateway) -> None:
    """It is a usage error before anything is sent."""
    result = _products(shop, "get", "a/b")
    assert result.exit_code == 2
    assert "1 to 128 letters" in result.stderr

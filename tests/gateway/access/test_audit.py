from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

import pytest
from google.protobuf.message import Message

from services.gateway.access import audit, policy
from services.gateway.access.caller import OPEN
from vitrine.v1 import access_pb2, catalog_pb2

Told = Callable[[str, Message, Message | None], MutableMapping[str, Any]]


@pytest.fixture
def told(lines: list[MutableMapping[str, Any]]) -> Told:
    """The line of a write, by its service and method, request and response."""

    def tell(method: str, request: Message, response: Message | None) -> MutableMapping[str, Any]:
        need = policy.NEEDS[f"vitrine.v1.{method}"]
        name = method.rpartition(".")[2]
        audit.tell(caller=OPEN, method=name, need=need, request=request, response=response, code="OK")
        return lines[-1]

    return tell


def test_a_batch_is_counted(told: Told) -> None:
    """Of a batch the number of products is told, the first ids, how many failed and the revision."""
    request = catalog_pb2.BatchUpsertProductsRequest(catalog="catalogs/shop")
    response = catalog_pb2.BatchUpsertProductsResponse(revision=9)
    for number in range(audit.MAX_IDS + 5):
        request.products.add().product.name = f"catalogs/shop/products/p{number}"
        response.results.add()
    response.results[3].status.code = 3
    line = told("CatalogService.BatchUpsertProducts", request, response)
    assert line["resource"] == "catalogs/shop"
    assert (line["products"], line["failed"], line["revision"]) == (audit.MAX_IDS + 5, 1, 9)
    assert line["product_ids"] == [f"p{number}" for number in range(audit.MAX_IDS)]


def test_what_was_made_is_named(told: Told) -> None:
    """A new product, catalogue, generation or key is named, a key without its secret."""
    line = told(
        "CatalogService.CreateProduct",
        catalog_pb2.CreateProductRequest(parent="catalogs/shop", product_id="p"),
        catalog_pb2.CreateProductResponse(product=catalog_pb2.Product(revision=4)),
    )
    assert (line["resource"], line["product_id"], line["revision"]) == ("catalogs/shop", "p", 4)
    line = told(
        "CatalogService.CreateCatalog",
        catalog_pb2.CreateCatalogRequest(catalog_id="shop"),
        catalog_pb2.CreateCatalogResponse(),
    )
    assert line["catalog_id"] == "shop"
    line = told(
        "AccessService.CreateApiKey",
        access_pb2.CreateApiKeyRequest(),
        access_pb2.CreateApiKeyResponse(api_key=access_pb2.ApiKey(name="apiKeys/k"), secret="vk_secret"),
    )
    assert line["made"] == "apiKeys/k"
    assert "vk_secret" not in str(line)
    line = told("AccessService.DeleteApiKey", access_pb2.DeleteApiKeyRequest(name="apiKeys/k"), None)
    assert line["resource"] == "apiKeys/k"


def test_a_line_is_bounded(told: Told) -> None:
    """Names of any length that a caller makes up come into the log cut short."""
    request = catalog_pb2.DeleteProductRequest(name="n" * 1_000_000)
    assert len(str(told("CatalogService.DeleteProduct", request, None))) < 1_000


@pytest.mark.parametrize(
    "method", [name for name, need in policy.NEEDS.items() if need.is_write], ids=lambda name: name
)
def test_every_write_can_be_told_of(told: Told, method: str) -> None:
    """A line can be written of each write, of an empty request as well."""
    _, _, service, name = method.split(".")
    descriptor = policy.SERVICES[service].methods_by_name[name]
    request, response = descriptor.input_type._concrete_class(), descriptor.output_type._concrete_class()
    assert told(f"{service}.{name}", request, response)["method"] == name
    assert told(f"{service}.{name}", request, None)["method"] == name


def test_every_rpc_that_changes_something_is_a_write() -> None:
    """Whatever is not a read by its name, nor feedback, is in the audit log."""
    reads = ("Search", "BatchSearch", "Get", "List", "Follow", "Scan", "QueryStats", "RecordFeedback")
    for method, need in policy.NEEDS.items():
        assert need.is_write is not method.rpartition(".")[2].startswith(reads), method

"""What the client can ask of the gateway: each operation is a request, and how its response is read.

Written once for both clients, which differ only in how they wait.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

import grpc
from google.protobuf.message import Message

from services.mesh import names
from services.mesh.errors import Unavailable, VitrineError
from services.mesh.status import from_rpc_error
from vitrine.client import products, queries, results
from vitrine.v1 import catalog_pb2, search_pb2

Response = TypeVar("Response", bound=Message)
Result = TypeVar("Result")

_PAGE_SIZE = 100

# The reason of the Unavailable that no server sent.
NO_ANSWER = "NO_ANSWER"


@dataclass(frozen=True)
class Operation(Generic[Response, Result]):
    """One unary call. `read` is given the response and the milliseconds that it took."""

    path: str
    request: Message
    response_type: type[Response]
    timeout_s: float
    read: Callable[[Response, float], Result]


@dataclass(frozen=True)
class Page(Generic[Result]):
    """One page of a list, and where the next one starts (empty after the last)."""

    items: Sequence[Result]
    next_token: str


@dataclass(frozen=True)
class Timeouts:
    """Deadlines: of reads and searches, and of one batch of writes, which embeds its photos."""

    read_s: float = 10.0
    write_s: float = 120.0


def search(
    catalog: str, query: queries.Query, timeouts: Timeouts
) -> Operation[search_pb2.SearchResponse, results.SearchResults]:
    """One page of a search."""
    return Operation(
        "/vitrine.v1.SearchService/Search",
        queries.search_request(catalog, query),
        search_pb2.SearchResponse,
        timeouts.read_s,
        results.results_of,
    )


def upsert(
    catalog: str, batch: Sequence[catalog_pb2.Product], *, clear_photos: bool, timeouts: Timeouts
) -> Operation[catalog_pb2.BatchUpsertProductsResponse, products.UpsertReport]:
    """Write one batch. Its request id makes a retry of this very operation harmless."""
    request = catalog_pb2.BatchUpsertProductsRequest(
        catalog=names.catalog_name(names.check_catalog_id(catalog, "catalog")),
        products=[catalog_pb2.UpsertProduct(product=product, clear_photos=clear_photos) for product in batch],
        request_id=str(uuid.uuid4()),
    )
    return Operation(
        "/vitrine.v1.CatalogService/BatchUpsertProducts",
        request,
        catalog_pb2.BatchUpsertProductsResponse,
        timeouts.write_s,
        lambda response, _: products.UpsertReport(
            tuple(products.outcome_of(result) for result in response.results), response.revision
        ),
    )


def get(
    catalog: str, product_id: str, timeouts: Timeouts
) -> Operation[catalog_pb2.GetProductResponse, products.Product]:
    """Read a product."""
    return Operation(
        "/vitrine.v1.CatalogService/GetProduct",
        catalog_pb2.GetProductRequest(name=_product_name(catalog, product_id)),
        catalog_pb2.GetProductResponse,
        timeouts.read_s,
        lambda response, _: products.product_of(response.product),
    )


def delete(
    catalog: str, product_id: str, timeouts: Timeouts
) -> Operation[catalog_pb2.DeleteProductResponse, int]:
    """Delete a product; the revision of the write."""
    return Operation(
        "/vitrine.v1.CatalogService/DeleteProduct",
        catalog_pb2.DeleteProductRequest(name=_product_name(catalog, product_id)),
        catalog_pb2.DeleteProductResponse,
        timeouts.read_s,
        lambda response, _: response.revision,
    )


def list_products(
    catalog: str, page_token: str, timeouts: Timeouts
) -> Operation[catalog_pb2.ListProductsResponse, Page[products.Product]]:
    """One page of the products of a catalogue."""
    name = names.catalog_name(names.check_catalog_id(catalog, "catalog"))
    return Operation(
        "/vitrine.v1.CatalogService/ListProducts",
        catalog_pb2.ListProductsRequest(parent=name, page_size=_PAGE_SIZE, page_token=page_token),
        catalog_pb2.ListProductsResponse,
        timeouts.read_s,
        lambda response, _: Page(
            [products.product_of(product) for product in response.products], response.next_page_token
        ),
    )


def create_catalog(
    catalog: str, timeouts: Timeouts
) -> Operation[catalog_pb2.CreateCatalogResponse, products.Catalog]:
    """Create a catalogue."""
    return Operation(
        "/vitrine.v1.CatalogService/CreateCatalog",
        catalog_pb2.CreateCatalogRequest(catalog_id=names.check_catalog_id(catalog, "catalog")),
        catalog_pb2.CreateCatalogResponse,
        timeouts.read_s,
        lambda response, _: products.catalog_of(response.catalog),
    )


def get_catalog(
    catalog: str, timeouts: Timeouts
) -> Operation[catalog_pb2.GetCatalogResponse, products.Catalog]:
    """Read a catalogue."""
    name = names.catalog_name(names.check_catalog_id(catalog, "catalog"))
    return Operation(
        "/vitrine.v1.CatalogService/GetCatalog",
        catalog_pb2.GetCatalogRequest(name=name),
        catalog_pb2.GetCatalogResponse,
        timeouts.read_s,
        lambda response, _: products.catalog_of(response.catalog),
    )


def list_catalogs(
    page_token: str, timeouts: Timeouts
) -> Operation[catalog_pb2.ListCatalogsResponse, Page[products.Catalog]]:
    """One page of the catalogues."""
    return Operation(
        "/vitrine.v1.CatalogService/ListCatalogs",
        catalog_pb2.ListCatalogsRequest(page_size=_PAGE_SIZE, page_token=page_token),
        catalog_pb2.ListCatalogsResponse,
        timeouts.read_s,
        lambda response, _: Page(
            [products.catalog_of(catalog) for catalog in response.catalogs], response.next_page_token
        ),
    )


def domain_error(server: str, error: grpc.RpcError) -> VitrineError:
    """The domain error behind a failed call, in words that help where nothing answered at all."""
    call = cast("grpc.aio.AioRpcError", error)
    answered = any(key == "grpc-status-details-bin" for key, _ in call.trailing_metadata() or ())
    if call.code() is grpc.StatusCode.UNAVAILABLE and not answered:
        return Unavailable(f"nothing answers at {server}: is `vitrine up` running?", reason=NO_ANSWER)
    return from_rpc_error(call)


def _product_name(catalog: str, product_id: str) -> str:
    names.check_catalog_id(catalog, "catalog")
    return names.product_name(catalog, names.check_product_id(product_id, "product"))

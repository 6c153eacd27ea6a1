"""Reading and writing products.

Every write carries a request id, so that a second try of the same operation is answered from the first one.
"""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.field_mask_pb2 import FieldMask

from services.mesh.errors import InvalidArgument
from vitrine.client import products
from vitrine.client.masks import mask
from vitrine.client.operations.operation import (
    Operation,
    Page,
    Timeouts,
    catalog_name,
    new_request_id,
    product_name,
)
from vitrine.client.products import Product, UpsertReport, Written
from vitrine.v1 import catalog_pb2


def upsert(
    catalog: str, batch: Sequence[catalog_pb2.Product], *, clear_photos: bool, timeouts: Timeouts
) -> Operation[catalog_pb2.BatchUpsertProductsResponse, UpsertReport]:
    """Write one batch."""
    request = catalog_pb2.BatchUpsertProductsRequest(
        catalog=catalog_name(catalog),
        products=[catalog_pb2.UpsertProduct(product=product, clear_photos=clear_photos) for product in batch],
        request_id=new_request_id(),
    )
    return Operation(
        "/vitrine.v1.CatalogService/BatchUpsertProducts",
        request,
        catalog_pb2.BatchUpsertProductsResponse,
        timeouts.write_s,
        lambda response, _: UpsertReport(
            tuple(products.outcome_of(result) for result in response.results), response.revision
        ),
    )


def create(
    catalog: str, timeouts: Timeouts, /, product: Product
) -> Operation[catalog_pb2.CreateProductResponse, Written]:
    """Create a product; raises AlreadyExists where there is one of its id."""
    message = products.product_message(catalog, product)
    message.ClearField("etag")
    return Operation(
        "/vitrine.v1.CatalogService/CreateProduct",
        catalog_pb2.CreateProductRequest(
            parent=catalog_name(catalog),
            product_id=product.id,
            product=message,
            request_id=new_request_id(),
        ),
        catalog_pb2.CreateProductResponse,
        timeouts.write_s,
        lambda response, _: products.written_of(response),
    )


def update(
    catalog: str,
    timeouts: Timeouts,
    /,
    product: Product,
    *,
    fields: Sequence[str] = (),
    allow_missing: bool = False,
) -> Operation[catalog_pb2.UpdateProductResponse, Written]:
    """Change some fields of a product: `title`, `attributes.price`, `photos`, ..., or `*` for all of them.

    Without any, those that are set in `product`. Where it has an `etag`, as what was read has, Aborted is
    raised when the product was changed since. `allow_missing` creates it where there is none.
    """
    message = products.product_message(catalog, product)
    if product.photos and not message.photos and {"photos", "*"} & set(fields):
        raise InvalidArgument("fields", "name the photos, of which there is neither content nor address")
    return Operation(
        "/vitrine.v1.CatalogService/UpdateProduct",
        catalog_pb2.UpdateProductRequest(
            product=message,
            update_mask=mask(fields),
            allow_missing=allow_missing,
            request_id=new_request_id(),
        ),
        catalog_pb2.UpdateProductResponse,
        timeouts.write_s,
        lambda response, _: products.written_of(response),
    )


def get(
    catalog: str, timeouts: Timeouts, /, product_id: str, *, fields: Sequence[str] = ()
) -> Operation[catalog_pb2.GetProductResponse, Product]:
    """Read a product, or only its `fields`."""
    return Operation(
        "/vitrine.v1.CatalogService/GetProduct",
        catalog_pb2.GetProductRequest(name=product_name(catalog, product_id), read_mask=_named(fields)),
        catalog_pb2.GetProductResponse,
        timeouts.read_s,
        lambda response, _: products.product_of(response.product),
    )


def list_products(
    catalog: str,
    timeouts: Timeouts,
    page_token: str,
    /,
    *,
    fields: Sequence[str] = (),
    near_duplicates_only: bool = False,
    page_size: int = 100,
) -> Operation[catalog_pb2.ListProductsResponse, Page[Product]]:
    """The products of the catalogue by id, or only their `fields`; `page_size` are asked for at once."""
    return Operation(
        "/vitrine.v1.CatalogService/ListProducts",
        catalog_pb2.ListProductsRequest(
            parent=catalog_name(catalog),
            page_size=page_size,
            page_token=page_token,
            read_mask=_named(fields),
            near_duplicates_only=near_duplicates_only,
        ),
        catalog_pb2.ListProductsResponse,
        timeouts.read_s,
        lambda response, _: Page(
            [products.product_of(product) for product in response.products], response.next_page_token
        ),
    )


def delete(
    catalog: str, timeouts: Timeouts, /, product_id: str, *, etag: str = "", missing_ok: bool = False
) -> Operation[catalog_pb2.DeleteProductResponse, int]:
    """Delete a product; the revision of the write.

    With an `etag` only while it has that one, else Aborted is raised. `missing_ok` succeeds where there is
    none.
    """
    return Operation(
        "/vitrine.v1.CatalogService/DeleteProduct",
        catalog_pb2.DeleteProductRequest(
            name=product_name(catalog, product_id),
            etag=etag,
            allow_missing=missing_ok,
            request_id=new_request_id(),
        ),
        catalog_pb2.DeleteProductResponse,
        timeouts.read_s,
        lambda response, _: response.revision,
    )


def _named(fields: Sequence[str]) -> FieldMask:
    """The mask of what is read: the name, which holds the id, goes with every choice."""
    read_mask = mask(fields)
    if read_mask.paths:
        read_mask.paths.append("name")
    return read_mask

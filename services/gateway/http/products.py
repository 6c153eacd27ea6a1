"""The routes of products."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from services.gateway.http import arguments, body_reading, openapi, responses
from services.gateway.http.arguments import (
    AllowMissing,
    CatalogId,
    IfMatch,
    PageSize,
    PageToken,
    ProductId,
    ReadMask,
    RequestId,
    UpdateMask,
)
from services.gateway.http.bodies import products as bodies
from services.gateway.http.flows import CatalogFlow
from services.mesh import names
from services.mesh.errors import InvalidArgument
from vitrine.v1 import catalog_pb2

NewProductId = Annotated[
    str,
    Query(
        description="The last part of its name: 1 to 128 letters, digits and `. _ ~ -`.",
        json_schema_extra={"pattern": "^(?!\\.{1,2}$)[A-Za-z0-9._~-]{1,128}$", "examples": ["4711"]},
    ),
]
NearDuplicatesOnly = Annotated[bool, Query(description="Only products that have near duplicates.")]
Etag = Annotated[str, Query(description="Delete it only while it has this etag; as `If-Match`.")]


def routes(flow: CatalogFlow) -> APIRouter:
    """What a shop sells."""
    router = APIRouter(
        prefix="/v1/catalogs/{catalog}/products",
        tags=["products"],
        dependencies=[Depends(arguments.only_known)],
    )

    @router.post(
        ":batchUpsert",
        **openapi.operation(
            bodies.BatchUpsertProductsResponse, body=bodies.BatchUpsertProductsRequest, errors=(404,)
        ),
    )
    async def batch_upsert_products(catalog: CatalogId, request: Request) -> Response:
        """Writes products, new or not, whole. Each has its own outcome; those that succeeded are durable."""
        name = arguments.catalog_name(catalog)
        body = await body_reading.read(request, bodies.BatchUpsertProductsRequest)
        message = catalog_pb2.BatchUpsertProductsRequest(catalog=name, **body.to_fields())
        return responses.of_message(await flow.batch_upsert_products(message))

    @router.post(
        "",
        **openapi.operation(
            bodies.CreateProductResponse,
            body=bodies.Product,
            status=HTTPStatus.CREATED,
            errors=(404, 409),
            has_etag=True,
        ),
    )
    async def create_product(
        catalog: CatalogId, request: Request, product_id: NewProductId, request_id: RequestId = ""
    ) -> Response:
        """Creates a product."""
        parent = arguments.catalog_name(catalog)
        body = await body_reading.read(request, bodies.Product)
        message = catalog_pb2.CreateProductRequest(
            parent=parent,
            product_id=names.check_product_id(product_id, "product_id"),
            product=catalog_pb2.Product(**body.to_fields()),
            request_id=request_id,
        )
        with body_reading.of_field("product"):
            response = await flow.create_product(message)
        return responses.of_message(response, HTTPStatus.CREATED, etag=response.product.etag)

    @router.get("", **openapi.operation(bodies.ListProductsResponse, errors=(404,)))
    async def list_products(
        catalog: CatalogId,
        *,
        page_size: PageSize = 0,
        page_token: PageToken = "",
        read_mask: ReadMask = "",
        near_duplicates_only: NearDuplicatesOnly = False,
    ) -> Response:
        """Lists the products of a catalogue by id."""
        message = catalog_pb2.ListProductsRequest(
            parent=arguments.catalog_name(catalog),
            page_size=page_size,
            page_token=page_token,
            read_mask=arguments.mask(read_mask, "read_mask"),
            near_duplicates_only=near_duplicates_only,
        )
        return responses.of_message(await flow.list_products(message))

    @router.get("/{product}", **openapi.operation(bodies.GetProductResponse, errors=(404,), has_etag=True))
    async def get_product(catalog: CatalogId, product: ProductId, read_mask: ReadMask = "") -> Response:
        """Reads a product."""
        message = catalog_pb2.GetProductRequest(
            name=arguments.product_name(catalog, product),
            read_mask=arguments.mask(read_mask, "read_mask"),
        )
        response = await flow.get_product(message)
        return responses.of_message(response, etag=response.product.etag)

    @router.patch(
        "/{product}",
        **openapi.operation(
            bodies.UpdateProductResponse, body=bodies.Product, errors=(404, 409), has_etag=True
        ),
    )
    async def update_product(
        catalog: CatalogId,
        product: ProductId,
        request: Request,
        *,
        update_mask: UpdateMask = "",
        allow_missing: AllowMissing = False,
        request_id: RequestId = "",
        if_match: IfMatch = None,
    ) -> Response:
        """Changes fields of a product. Its photos stay unless the mask names them.

        With `If-Match`, or an etag in the body, it is refused as Aborted where somebody else has changed the
        product meanwhile.
        """
        name = arguments.product_name(catalog, product)
        body = await body_reading.read(request, bodies.Product)
        if body.name not in {None, "", name}:
            raise InvalidArgument("name", "is another product than that of the path")
        given = catalog_pb2.Product(**body.to_fields())
        given.name = name
        given.etag = arguments.etag(if_match, given.etag, "etag")
        message = catalog_pb2.UpdateProductRequest(
            product=given,
            update_mask=arguments.mask(update_mask, "update_mask"),
            allow_missing=allow_missing,
            request_id=request_id,
        )
        with body_reading.of_field("product"):
            response = await flow.update_product(message)
        return responses.of_message(response, etag=response.product.etag)

    @router.delete("/{product}", **openapi.operation(bodies.DeleteProductResponse, errors=(404, 409)))
    async def delete_product(
        catalog: CatalogId,
        product: ProductId,
        *,
        etag: Etag = "",
        allow_missing: AllowMissing = False,
        request_id: RequestId = "",
        if_match: IfMatch = None,
    ) -> Response:
        """Deletes a product."""
        message = catalog_pb2.DeleteProductRequest(
            name=arguments.product_name(catalog, product),
            etag=arguments.etag(if_match, etag, "etag"),
            allow_missing=allow_missing,
            request_id=request_id,
        )
        return responses.of_message(await flow.delete_product(message))

    return router

"""The routes of catalogues and products."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from services.gateway.http import models, responses
from services.gateway.http.flows import CatalogFlow
from services.mesh import names
from vitrine.v1 import catalog_pb2

PageSize = Annotated[int, Query(description="1 to 1,000; 100 when absent.")]
PageToken = Annotated[str, Query(description="From the page before.")]


def routes(flow: CatalogFlow) -> APIRouter:
    """Catalogues and their products."""
    router = APIRouter(prefix="/v1/catalogs", tags=["catalogues"])

    @router.post("", response_model=models.CreateCatalogResponse, status_code=HTTPStatus.CREATED)
    async def create_catalog(body: models.CreateCatalogRequest) -> Response:
        """Creates a catalogue. Its first generation freezes the models that are served now."""
        response = await flow.create_catalog(catalog_pb2.CreateCatalogRequest(**body.to_fields()))
        return responses.of_message(response, HTTPStatus.CREATED)

    @router.get("", response_model=models.ListCatalogsResponse)
    async def list_catalogs(page_size: PageSize = 0, page_token: PageToken = "") -> Response:
        """Lists catalogues by id."""
        request = catalog_pb2.ListCatalogsRequest(page_size=page_size, page_token=page_token)
        return responses.of_message(await flow.list_catalogs(request))

    @router.get("/{catalog}", response_model=models.GetCatalogResponse)
    async def get_catalog(catalog: str) -> Response:
        """Reads a catalogue."""
        request = catalog_pb2.GetCatalogRequest(name=_catalog(catalog))
        return responses.of_message(await flow.get_catalog(request))

    @router.post("/{catalog}/products:batchUpsert", response_model=models.BatchUpsertProductsResponse)
    async def batch_upsert_products(catalog: str, body: models.BatchUpsertProductsRequest) -> Response:
        """Writes products, new or not, whole. Each has its own outcome; those that succeeded are durable."""
        request = catalog_pb2.BatchUpsertProductsRequest(catalog=_catalog(catalog), **body.to_fields())
        return responses.of_message(await flow.batch_upsert_products(request))

    @router.get("/{catalog}/products", response_model=models.ListProductsResponse)
    async def list_products(catalog: str, page_size: PageSize = 0, page_token: PageToken = "") -> Response:
        """Lists the products of a catalogue by id."""
        request = catalog_pb2.ListProductsRequest(
            parent=_catalog(catalog), page_size=page_size, page_token=page_token
        )
        return responses.of_message(await flow.list_products(request))

    @router.get("/{catalog}/products/{product}", response_model=models.GetProductResponse)
    async def get_product(catalog: str, product: str) -> Response:
        """Reads a product."""
        request = catalog_pb2.GetProductRequest(name=_product(catalog, product))
        return responses.of_message(await flow.get_product(request))

    @router.delete("/{catalog}/products/{product}", response_model=models.DeleteProductResponse)
    async def delete_product(catalog: str, product: str) -> Response:
        """Deletes a product."""
        request = catalog_pb2.DeleteProductRequest(name=_product(catalog, product))
        return responses.of_message(await flow.delete_product(request))

    return router


def _catalog(catalog: str) -> str:
    return names.catalog_name(names.check_catalog_id(catalog, "catalog"))


def _product(catalog: str, product: str) -> str:
    names.check_catalog_id(catalog, "catalog")
    return names.product_name(catalog, names.check_product_id(product, "product"))

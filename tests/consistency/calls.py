"""What callers ask of a gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import grpc.aio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from services.mesh.channel import call
from tests.consistency.pictures import picture
from vitrine.v1 import catalog_pb2, catalog_pb2_grpc, common_pb2, search_pb2, search_pb2_grpc

# Machines stall: what has not come by then does not come.
TIMEOUT_S = 60.0


def text(value: str) -> common_pb2.AttributeValues:
    """An attribute of one word."""
    return common_pb2.AttributeValues(values=[common_pb2.AttributeValue(text=value)])


def number(value: float) -> common_pb2.AttributeValues:
    """An attribute of one number."""
    return common_pb2.AttributeValues(values=[common_pb2.AttributeValue(number=value)])


def product_of(
    catalog: str,
    product_id: str,
    *,
    title: str = "",
    photos: Iterable[int] = (),
    attributes: dict[str, common_pb2.AttributeValues] | None = None,
    etag: str = "",
) -> catalog_pb2.Product:
    """A product with some numbered pictures."""
    return catalog_pb2.Product(
        name=f"catalogs/{catalog}/products/{product_id}",
        title=title,
        photos=[catalog_pb2.Photo(image=common_pb2.Image(content=picture(each))) for each in photos],
        attributes=attributes or {},
        etag=etag,
    )


class Gateway:
    """A caller of one gateway, who does not try again. What fails is raised as a domain error."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._catalog = catalog_pb2_grpc.CatalogServiceStub(channel)
        self._search = search_pb2_grpc.SearchServiceStub(channel)

    async def connected(self) -> None:
        """Return when it is connected: a connection that was lost comes back later than the gateway."""
        async with asyncio.timeout(TIMEOUT_S):
            await self._channel.channel_ready()

    async def create_catalog(self, catalog: str) -> None:
        request = catalog_pb2.CreateCatalogRequest(catalog_id=catalog)
        await call(self._catalog.CreateCatalog, request, timeout_s=TIMEOUT_S)

    async def catalog(self, catalog: str) -> catalog_pb2.Catalog:
        request = catalog_pb2.GetCatalogRequest(name=f"catalogs/{catalog}")
        return (await call(self._catalog.GetCatalog, request, timeout_s=TIMEOUT_S)).catalog

    async def upsert(
        self, catalog: str, products: Sequence[catalog_pb2.Product], *, request_id: str = ""
    ) -> catalog_pb2.BatchUpsertProductsResponse:
        request = catalog_pb2.BatchUpsertProductsRequest(
            catalog=f"catalogs/{catalog}",
            products=[catalog_pb2.UpsertProduct(product=product) for product in products],
            request_id=request_id,
        )
        return await call(self._catalog.BatchUpsertProducts, request, timeout_s=TIMEOUT_S)

    async def update(
        self, product: catalog_pb2.Product, mask: Sequence[str], *, request_id: str = ""
    ) -> catalog_pb2.Product:
        request = catalog_pb2.UpdateProductRequest(
            product=product, update_mask=FieldMask(paths=mask), request_id=request_id
        )
        return (await call(self._catalog.UpdateProduct, request, timeout_s=TIMEOUT_S)).product

    async def delete(self, name: str, *, allow_missing: bool = False, request_id: str = "") -> int:
        request = catalog_pb2.DeleteProductRequest(
            name=name, allow_missing=allow_missing, request_id=request_id
        )
        return (await call(self._catalog.DeleteProduct, request, timeout_s=TIMEOUT_S)).revision

    async def get(self, name: str) -> catalog_pb2.Product:
        request = catalog_pb2.GetProductRequest(name=name)
        return (await call(self._catalog.GetProduct, request, timeout_s=TIMEOUT_S)).product

    async def page(self, catalog: str, *, size: int, token: str = "") -> catalog_pb2.ListProductsResponse:
        request = catalog_pb2.ListProductsRequest(
            parent=f"catalogs/{catalog}", page_size=size, page_token=token
        )
        return await call(self._catalog.ListProducts, request, timeout_s=TIMEOUT_S)

    async def create_generation(self, catalog: str) -> catalog_pb2.GenerationStatus:
        request = catalog_pb2.CreateGenerationRequest(parent=f"catalogs/{catalog}")
        return (await call(self._catalog.CreateGeneration, request, timeout_s=TIMEOUT_S)).generation

    async def activate(self, catalog: str, generation: str) -> None:
        name = f"catalogs/{catalog}/generations/{generation}"
        request = catalog_pb2.ActivateGenerationRequest(name=name)
        await call(self._catalog.ActivateGeneration, request, timeout_s=TIMEOUT_S)

    async def delete_generation(self, catalog: str, generation: str) -> None:
        name = f"catalogs/{catalog}/generations/{generation}"
        request = catalog_pb2.DeleteGenerationRequest(name=name)
        await call(self._catalog.DeleteGeneration, request, timeout_s=TIMEOUT_S)

    async def search(self, request: search_pb2.SearchRequest) -> search_pb2.SearchResponse:
        return await call(self._search.Search, request, timeout_s=TIMEOUT_S)


def looks_like(
    catalog: str, picture_number: int, *, k: int = 100, staleness_s: float = 0, min_revision: int = 0
) -> search_pb2.SearchRequest:
    """A search by a picture."""
    staleness = Duration()
    staleness.FromMilliseconds(round(staleness_s * 1e3))
    return search_pb2.SearchRequest(
        catalog=f"catalogs/{catalog}",
        parts=[search_pb2.QueryPart(image=common_pb2.Image(content=picture(picture_number)))],
        k=k,
        max_staleness=staleness,
        min_revision=min_revision,
    )


def product_id(name: str) -> str:
    """The last part of a name."""
    return name.rpartition("/")[2]

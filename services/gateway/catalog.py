"""Catalogues and their products."""

from __future__ import annotations

import time
import uuid

from services.gateway import generations, paging
from services.gateway.directory import CatalogDirectory
from services.gateway.embedding import Embedder
from services.gateway.store.interface import CatalogRecord, Store
from services.gateway.store.log import ChangeLog
from services.gateway.writing import ProductWriter, request_key
from services.mesh import names
from services.mesh.errors import FailedPrecondition, InvalidArgument, NotFound
from vitrine.v1 import catalog_pb2 as pb

MAX_BATCH = 256
MAX_PAGE = 1_000
DEFAULT_PAGE = 100

_CATALOGS = "catalogs"


class CatalogFlow:
    """Answers CatalogService; messages in and out, domain errors as catalog.proto lists them."""

    def __init__(
        self,
        *,
        store: Store,
        log: ChangeLog,
        directory: CatalogDirectory,
        writer: ProductWriter,
        embedder: Embedder,
        timeout_s: float,
    ) -> None:
        self._store = store
        self._log = log
        self._directory = directory
        self._writer = writer
        self._embedder = embedder
        self._timeout_s = timeout_s

    async def create_catalog(self, request: pb.CreateCatalogRequest) -> pb.CreateCatalogResponse:
        """Create a catalogue whose first generation has the spaces that the embedder has now."""
        catalog = names.check_catalog_id(request.catalog_id, "catalog_id")
        generation = generations.frozen(await self._embedder.models(timeout_s=self._timeout_s))
        if not generation.spaces:
            raise FailedPrecondition(
                "the embedder has no space at all: pull models first", reason="WEIGHTS_MISSING"
            )
        record = CatalogRecord(catalog, generation, time.time_ns() // 1_000_000)
        await self._store.create_catalog(record)
        return pb.CreateCatalogResponse(catalog=await self._catalog(record))

    async def get_catalog(self, request: pb.GetCatalogRequest) -> pb.GetCatalogResponse:
        """Read a catalogue."""
        record = await self._directory.get(names.parse_catalog(request.name, "name"))
        return pb.GetCatalogResponse(catalog=await self._catalog(record))

    async def list_catalogs(self, request: pb.ListCatalogsRequest) -> pb.ListCatalogsResponse:
        """List catalogues by id."""
        size = paging.page_size(request.page_size, default=DEFAULT_PAGE, most=MAX_PAGE)
        records = await self._store.catalogs(paging.decode_after(_CATALOGS, request.page_token), size + 1)
        return pb.ListCatalogsResponse(
            catalogs=[await self._catalog(record) for record in records[:size]],
            next_page_token=paging.encode_after(_CATALOGS, records[size - 1].catalog)
            if len(records) > size
            else "",
        )

    async def batch_upsert_products(
        self, request: pb.BatchUpsertProductsRequest
    ) -> pb.BatchUpsertProductsResponse:
        """Write products, each with its own outcome."""
        catalog = names.parse_catalog(request.catalog, "catalog")
        if not 1 <= len(request.products) <= MAX_BATCH:
            raise InvalidArgument("products", f"1 to {MAX_BATCH} products")
        key = request_key(catalog, _request_id(request.request_id))
        return await self._writer.upsert(await self._directory.get(catalog), request.products, key)

    async def get_product(self, request: pb.GetProductRequest) -> pb.GetProductResponse:
        """Read a product."""
        catalog, product_id = names.parse_product(request.name, "name")
        stored = (await self._store.products(catalog, [product_id])).get(product_id)
        if stored is None:
            raise NotFound(f"there is no {request.name}")
        return pb.GetProductResponse(product=stored.message())

    async def list_products(self, request: pb.ListProductsRequest) -> pb.ListProductsResponse:
        """List the products of a catalogue by id."""
        catalog = names.parse_catalog(request.parent, "parent")
        size = paging.page_size(request.page_size, default=DEFAULT_PAGE, most=MAX_PAGE)
        after = paging.decode_after(request.parent, request.page_token)
        await self._directory.get(catalog)
        stored = await self._store.list_products(catalog, after, size + 1)
        return pb.ListProductsResponse(
            products=[each.message() for each in stored[:size]],
            next_page_token=(
                paging.encode_after(request.parent, stored[size - 1].product_id) if len(stored) > size else ""
            ),
        )

    async def delete_product(self, request: pb.DeleteProductRequest) -> pb.DeleteProductResponse:
        """Delete a product."""
        catalog, product_id = names.parse_product(request.name, "name")
        revision = await self._writer.delete(catalog, product_id)
        if revision is None:
            raise NotFound(f"there is no {request.name}")
        return pb.DeleteProductResponse(revision=revision)

    async def _catalog(self, record: CatalogRecord) -> pb.Catalog:
        counts = await self._store.counts(record.catalog)
        message = pb.Catalog(
            name=names.catalog_name(record.catalog),
            active_generation=record.generation,
            product_count=counts.products,
            photo_count=counts.photos,
            revision=self._log.head,
        )
        message.create_time.FromMilliseconds(record.create_time_ms)
        return message


def _request_id(request_id: str) -> str:
    if request_id:
        try:
            return str(uuid.UUID(request_id))
        except ValueError as error:
            raise InvalidArgument("request_id", "is not a UUID") from error
    return ""

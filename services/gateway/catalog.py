"""Catalogues and their products."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from services.gateway import masks, paging, products
from services.gateway.batches import failed
from services.gateway.directory import living
from services.gateway.etags import etag_of
from services.gateway.idempotency import RequestKey, request_key
from services.gateway.lifecycle import CatalogLifecycle
from services.gateway.products import Draft, Presence
from services.gateway.store.interface import CatalogRecord, GenerationRecord, Store, StoredProduct
from services.gateway.writing import ProductWriter
from services.mesh import names, status
from services.mesh.errors import InvalidArgument, NotFound
from vitrine.v1 import catalog_pb2 as pb

MAX_BATCH = 256
MAX_PAGE = 1_000
DEFAULT_PAGE = 100

_CATALOGS = "catalogs"
# A page of products with near duplicates begins somewhere else than one of all products.
_FLAGGED = "?near_duplicates_only"


class CatalogFlow:
    """Answers CatalogService; messages in and out, domain errors as catalog.proto lists them.

    `problems` tells by catalogue and generation why building does not go on.
    """

    def __init__(
        self,
        *,
        store: Store,
        lifecycle: CatalogLifecycle,
        writer: ProductWriter,
        problems: Mapping[tuple[str, str], str],
        max_image_bytes: int,
    ) -> None:
        self._store = store
        self._lifecycle = lifecycle
        self._writer = writer
        self._problems = problems
        self._max_image_bytes = max_image_bytes

    async def create_catalog(self, request: pb.CreateCatalogRequest) -> pb.CreateCatalogResponse:
        """Create a catalogue."""
        record = await self._lifecycle.create(names.check_catalog_id(request.catalog_id, "catalog_id"))
        return pb.CreateCatalogResponse(catalog=await self._catalog(record))

    async def get_catalog(self, request: pb.GetCatalogRequest) -> pb.GetCatalogResponse:
        """Read a catalogue."""
        record = await living(self._store, names.parse_catalog(request.name, "name"))
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

    async def delete_catalog(self, request: pb.DeleteCatalogRequest) -> pb.DeleteCatalogResponse:
        """Delete a catalogue."""
        await self._lifecycle.delete(names.parse_catalog(request.name, "name"), force=request.force)
        return pb.DeleteCatalogResponse()

    async def create_generation(self, request: pb.CreateGenerationRequest) -> pb.CreateGenerationResponse:
        """Add a generation, to be built."""
        record = await self._lifecycle.create_generation(names.parse_catalog(request.parent, "parent"))
        return pb.CreateGenerationResponse(
            generation=await self._generation(record, record.generations[-1], product_count=0)
        )

    async def activate_generation(
        self, request: pb.ActivateGenerationRequest
    ) -> pb.ActivateGenerationResponse:
        """Let searches use a generation."""
        record = await self._lifecycle.activate_generation(*names.parse_generation(request.name, "name"))
        return pb.ActivateGenerationResponse(catalog=await self._catalog(record))

    async def delete_generation(self, request: pb.DeleteGenerationRequest) -> pb.DeleteGenerationResponse:
        """Delete a generation."""
        await self._lifecycle.delete_generation(*names.parse_generation(request.name, "name"))
        return pb.DeleteGenerationResponse()

    async def batch_upsert_products(
        self, request: pb.BatchUpsertProductsRequest
    ) -> pb.BatchUpsertProductsResponse:
        """Write products, each with its own outcome."""
        catalog = names.parse_catalog(request.catalog, "catalog")
        if not 1 <= len(request.products) <= MAX_BATCH:
            raise InvalidArgument("products", f"1 to {MAX_BATCH} products")
        key = await asyncio.to_thread(request_key, catalog, request)
        drafts = await asyncio.to_thread(self._drafts, catalog, request)
        return await self._writer.upsert(catalog, drafts, key)

    async def create_product(self, request: pb.CreateProductRequest) -> pb.CreateProductResponse:
        """Create a product."""
        catalog = names.parse_catalog(request.parent, "parent")
        product_id = names.check_product_id(request.product_id, "product_id")
        item = pb.UpsertProduct(product=request.product)
        item.product.name = names.product_name(catalog, product_id)
        item.product.etag = ""
        key = await asyncio.to_thread(request_key, catalog, request)
        draft = await asyncio.to_thread(self._draft, catalog, item, presence=Presence.NEW)
        result = await self._written(catalog, draft, key)
        return pb.CreateProductResponse(
            product=await self._product(catalog, product_id), photo_problems=result.photo_problems
        )

    async def update_product(self, request: pb.UpdateProductRequest) -> pb.UpdateProductResponse:
        """Change some fields of a product."""
        catalog, product_id = names.parse_product(request.product.name, "product.name")
        paths = masks.written(request.update_mask, request.product)
        key = await asyncio.to_thread(request_key, catalog, request)
        draft = await asyncio.to_thread(
            self._draft,
            catalog,
            pb.UpsertProduct(product=request.product),
            paths=paths,
            presence=Presence.ANY if request.allow_missing else Presence.THERE,
        )
        result = await self._written(catalog, draft, key)
        return pb.UpdateProductResponse(
            product=await self._product(catalog, product_id), photo_problems=result.photo_problems
        )

    async def get_product(self, request: pb.GetProductRequest) -> pb.GetProductResponse:
        """Read a product."""
        catalog, product_id = names.parse_product(request.name, "name")
        masks.check(request.read_mask, "read_mask")
        await living(self._store, catalog)
        product = await self._product(catalog, product_id)
        return pb.GetProductResponse(product=masks.read(product, request.read_mask))

    async def list_products(self, request: pb.ListProductsRequest) -> pb.ListProductsResponse:
        """List the products of a catalogue by id."""
        catalog = names.parse_catalog(request.parent, "parent")
        masks.check(request.read_mask, "read_mask")
        size = paging.page_size(request.page_size, default=DEFAULT_PAGE, most=MAX_PAGE)
        listed = request.parent + _FLAGGED if request.near_duplicates_only else request.parent
        after = paging.decode_after(listed, request.page_token)
        await living(self._store, catalog)
        stored = await self._store.list_products(
            catalog, after, size + 1, flagged_only=request.near_duplicates_only
        )
        return pb.ListProductsResponse(
            products=[masks.read(_message(each), request.read_mask) for each in stored[:size]],
            next_page_token=paging.encode_after(listed, stored[size - 1].product_id)
            if len(stored) > size
            else "",
        )

    async def delete_product(self, request: pb.DeleteProductRequest) -> pb.DeleteProductResponse:
        """Delete a product."""
        catalog, product_id = names.parse_product(request.name, "name")
        revision = await self._writer.delete(
            catalog,
            product_id,
            etag=request.etag,
            allow_missing=request.allow_missing,
            request=request_key(catalog, request),
        )
        return pb.DeleteProductResponse(revision=revision)

    def _drafts(self, catalog: str, request: pb.BatchUpsertProductsRequest) -> list[Draft | pb.UpsertResult]:
        drafts: list[Draft | pb.UpsertResult] = []
        for item in request.products:
            try:
                drafts.append(products.read(item, catalog, max_image_bytes=self._max_image_bytes))
            except InvalidArgument as error:
                drafts.append(failed(item.product.name, error))
        return drafts

    def _draft(
        self,
        catalog: str,
        item: pb.UpsertProduct,
        *,
        presence: Presence,
        paths: tuple[str, ...] | None = None,
    ) -> Draft:
        try:
            return products.read(
                item, catalog, max_image_bytes=self._max_image_bytes, paths=paths, presence=presence
            )
        except InvalidArgument as error:
            raise error.under("product") from error

    async def _written(self, catalog: str, draft: Draft, key: RequestKey | None) -> pb.UpsertResult:
        """The outcome of a single product; raises what befell it."""
        (result,) = (await self._writer.upsert(catalog, [draft], key)).results
        if result.status.code:
            error = status.from_item(result.status)
            raise error.under("product") if isinstance(error, InvalidArgument) else error
        return result

    async def _product(self, catalog: str, product_id: str) -> pb.Product:
        stored = (await self._store.products(catalog, [product_id])).get(product_id)
        if stored is None:
            raise NotFound(f"there is no {names.product_name(catalog, product_id)}")
        return _message(stored)

    async def _catalog(self, record: CatalogRecord) -> pb.Catalog:
        counts = await self._store.counts(record.catalog)
        message = pb.Catalog(
            name=names.catalog_name(record.catalog),
            active_generation=record.generation,
            product_count=counts.products,
            photo_count=counts.photos,
            revision=(await self._store.bounds()).head,
            generations=[
                await self._generation(record, each, counts.products) for each in record.generations
            ],
        )
        message.create_time.FromMilliseconds(record.create_time_ms)
        return message

    async def _generation(
        self, record: CatalogRecord, each: GenerationRecord, product_count: int
    ) -> pb.GenerationStatus:
        generation = each.generation
        if each.is_ready:
            is_active = generation.id == record.active
            state = pb.GENERATION_STATE_ACTIVE if is_active else pb.GENERATION_STATE_READY
            return pb.GenerationStatus(generation=generation, state=state, product_count=product_count)
        return pb.GenerationStatus(
            generation=generation,
            state=pb.GENERATION_STATE_BUILDING,
            product_count=await self._store.covered(record.catalog, generation.id),
            problem=self._problems.get((record.catalog, generation.id), ""),
        )


def _message(stored: StoredProduct) -> pb.Product:
    """A product as callers see it; what was written by an older release has no etag of its own."""
    message = stored.message()
    message.etag = message.etag or etag_of(message)
    return message

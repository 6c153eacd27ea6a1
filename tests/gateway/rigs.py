"""A gateway in front of fake services."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.gateway.assembly import Gateway, assembled
from services.gateway.settings import GatewaySettings
from services.gateway.store.database import SqliteDatabase
from services.gateway.store.sqlite import SqliteStore
from services.mesh.buckets import buckets_of
from services.mesh.errors import Unavailable
from tests.gateway.fakes import FakeEmbedder, FakeRanker, FakeShard, hosted, photo
from vitrine.v1 import (
    catalog_pb2,
    common_pb2,
    embedder_pb2,
    embedder_pb2_grpc,
    ranker_pb2,
    ranker_pb2_grpc,
    search_pb2,
    vectorsearch_pb2,
    vectorsearch_pb2_grpc,
)

CATALOG = "catalogs/shop"

_TIMEOUTS = ("embed_timeout_s", "fetch_timeout_s", "rank_timeout_s", "shard_timeout_s", "store_timeout_s")


class FailingStore:
    """A store that can be away."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.is_away = False

    def __getattr__(self, name: str) -> Any:
        behaviour = getattr(self._store, name)

        async def asked(*arguments: Any, **named: Any) -> Any:
            if self.is_away and name != "close":
                raise Unavailable("away", reason="STORE_UNAVAILABLE")
            return await behaviour(*arguments, **named)

        return asked


@dataclass
class Rig:
    gateway: Gateway
    embedder: FakeEmbedder
    ranker: FakeRanker
    shards: list[FakeShard]
    store: FailingStore
    settings: GatewaySettings

    async def create(self) -> None:
        await self.gateway.catalog.create_catalog(catalog_pb2.CreateCatalogRequest(catalog_id="shop"))

    async def upsert(
        self, *items: catalog_pb2.UpsertProduct, request_id: str = ""
    ) -> catalog_pb2.BatchUpsertProductsResponse:
        request = catalog_pb2.BatchUpsertProductsRequest(
            catalog=CATALOG, products=items, request_id=request_id
        )
        response = await self.gateway.catalog.batch_upsert_products(request)
        await self.sync()
        return response

    async def delete(self, product_id: str) -> None:
        name = f"{CATALOG}/products/{product_id}"
        await self.gateway.catalog.delete_product(catalog_pb2.DeleteProductRequest(name=name))

    async def get(self, product_id: str) -> catalog_pb2.Product:
        name = f"{CATALOG}/products/{product_id}"
        return (await self.gateway.catalog.get_product(catalog_pb2.GetProductRequest(name=name))).product

    async def sync(self) -> None:
        """Bring the shards to where the log is."""
        for index, shard in enumerate(self.shards):
            shard.held.clear()
            request = catalog_pb2.ScanRequest(buckets=buckets_of(index, len(self.shards)))
            async for frame in self.gateway.feed.scan(request):
                shard.take(list(frame.changes), frame.revision)

    async def fill(self, count: int) -> None:
        """A catalogue of `count` products `p0`, `p1`... with one photo each."""
        await self.create()
        for start in range(0, count, 64):
            await self.upsert(
                *(item(f"p{i}", photos=[photo(i)]) for i in range(start, min(count, start + 64)))
            )

    async def search(self, *parts: search_pb2.QueryPart, **fields: Any) -> search_pb2.SearchResponse:
        request = search_pb2.SearchRequest(catalog=CATALOG, parts=parts, **fields)
        return await self.gateway.search.search(request)


def item(
    product_id: str,
    *,
    photos: Sequence[bytes] = (),
    title: str = "",
    clear_photos: bool = False,
    **attributes: str | float,
) -> catalog_pb2.UpsertProduct:
    """A product to write; its colour says whether its number is even."""
    product = catalog_pb2.Product(name=f"{CATALOG}/products/{product_id}", title=title or product_id)
    for content in photos:
        product.photos.add().image.content = content
    if product_id[1:].isdigit():
        attributes.setdefault("colour", "red" if int(product_id[1:]) % 2 else "blue")
    for name, value in attributes.items():
        given = product.attributes[name].values.add()
        if isinstance(value, str):
            given.text = value
        else:
            given.number = value
    return catalog_pb2.UpsertProduct(product=product, clear_photos=clear_photos)


def image(content: bytes, **fields: Any) -> search_pb2.QueryPart:
    return search_pb2.QueryPart(image=common_pb2.Image(content=content), **fields)


def text(words: str, **fields: Any) -> search_pb2.QueryPart:
    return search_pb2.QueryPart(text=words, **fields)


def product(name: str, **fields: Any) -> search_pb2.QueryPart:
    return search_pb2.QueryPart(product=name, **fields)


def ids(response: search_pb2.SearchResponse) -> list[str]:
    return [hit.product.name.rpartition("/")[2] for hit in response.hits]


@asynccontextmanager
async def rigged(
    data_dir: Path,
    *,
    shards: int = 2,
    real_ranker: ranker_pb2_grpc.RankerServiceServicer | None = None,
    **fields: Any,
) -> AsyncIterator[Rig]:
    """A gateway over fake services, but for a real ranker if one is given; `fields` are its settings."""
    embedder, ranker = FakeEmbedder(), FakeRanker()
    fakes = [FakeShard(shard, shards) for shard in range(shards)]
    async with AsyncExitStack() as stack:
        service = embedder_pb2.DESCRIPTOR.services_by_name["EmbedderService"]
        embedder_target = await stack.enter_async_context(
            hosted(
                "embedder",
                service,
                lambda s: embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(embedder, s),
            )
        )
        service = ranker_pb2.DESCRIPTOR.services_by_name["RankerService"]
        ranker_target = await stack.enter_async_context(
            hosted(
                "ranker",
                service,
                lambda s: ranker_pb2_grpc.add_RankerServiceServicer_to_server(real_ranker or ranker, s),
            )
        )
        service = vectorsearch_pb2.DESCRIPTOR.services_by_name["VectorSearchService"]
        targets = []
        for fake in fakes:

            def register(server: Any, fake: FakeShard = fake) -> None:
                vectorsearch_pb2_grpc.add_VectorSearchServiceServicer_to_server(fake, server)

            targets.append(await stack.enter_async_context(hosted("vectorsearch", service, register)))
        settings = GatewaySettings(
            embedder=embedder_target,
            ranker=ranker_target,
            shards=",".join(targets),
            data_dir=data_dir,
            # A machine that stands still for a second is no fault of the services.
            **{**dict.fromkeys(_TIMEOUTS, 60), **fields},
        )
        real = SqliteStore(await SqliteDatabase.open(data_dir / "catalog.db"))
        stack.push_async_callback(real.close)
        store = FailingStore(real)

        def failed() -> None:
            raise AssertionError("the log's writer failed")

        gateway = await stack.enter_async_context(assembled(settings, on_failure=failed, store=store))
        yield Rig(gateway, embedder, ranker, fakes, store, settings)

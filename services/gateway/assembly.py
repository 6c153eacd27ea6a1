"""The parts of a gateway, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from services.gateway import metrics
from services.gateway.cache.memory import MemoryCache
from services.gateway.catalog import CatalogFlow
from services.gateway.directory import CatalogDirectory
from services.gateway.embedding import Embedder
from services.gateway.feed import FeedFlow
from services.gateway.media import MediaStore
from services.gateway.query_vectors import QueryVectorSource
from services.gateway.ranking import Ranker
from services.gateway.search import SearchFlow
from services.gateway.settings import GatewaySettings
from services.gateway.shards import Shards
from services.gateway.store.interface import Store
from services.gateway.store.log import ChangeLog
from services.gateway.store.sqlite import SqliteStore
from services.gateway.writing import ProductWriter
from services.mesh import channel


@dataclass(frozen=True, slots=True)
class Gateway:
    """What the gRPC services and HTTP stand on."""

    search: SearchFlow
    catalog: CatalogFlow
    feed: FeedFlow
    media: MediaStore


@asynccontextmanager
async def assembled(
    settings: GatewaySettings, *, on_failure: Callable[[], None], store: Store | None = None
) -> AsyncIterator[Gateway]:
    """A gateway at work: its store open, what a dead writer left finished, the other services connected.

    `on_failure` is called should the log's writer, or the watch over the shards, ever fail. `store` stands in
    for the one in `settings.data_dir`.
    """
    metrics.declare()
    async with AsyncExitStack() as stack:
        if store is None:
            store = await SqliteStore.open(settings.data_dir / "catalog.db")
            stack.push_async_callback(store.close)
        log = ChangeLog(store, keep_entries=settings.log_entries)
        await log.start()
        embedder = Embedder(await stack.enter_async_context(channel.connect(settings.embedder)))
        ranker = Ranker(
            await stack.enter_async_context(channel.connect(settings.ranker)),
            timeout_s=settings.rank_timeout_s,
        )
        shards = Shards(
            settings.shard_targets,
            timeout_s=settings.shard_timeout_s,
            next_targets=settings.next_shard_targets,
            head=lambda: log.head,
        )
        stack.push_async_callback(shards.close)
        await stack.enter_async_context(shards.watched(on_failure))
        directory = CatalogDirectory(store, timeout_s=settings.store_timeout_s)
        cache = MemoryCache(settings.cache_bytes)
        media = MediaStore(settings.data_dir / "media")
        vectors = QueryVectorSource(
            embedder=embedder, shards=shards, cache=cache, embed_timeout_s=settings.embed_timeout_s
        )
        writer = ProductWriter(
            store=store,
            log=log,
            embedder=embedder,
            ranker=ranker,
            media=media,
            max_image_bytes=settings.max_image_bytes,
            timeout_s=settings.write_timeout_s,
        )
        await stack.enter_async_context(log.running(on_failure))
        yield Gateway(
            search=SearchFlow(
                directory=directory,
                store=store,
                shards=shards,
                vectors=vectors,
                ranker=ranker,
                cache=cache,
                max_image_bytes=settings.max_image_bytes,
                store_timeout_s=settings.store_timeout_s,
            ),
            catalog=CatalogFlow(
                store=store,
                log=log,
                directory=directory,
                writer=writer,
                embedder=embedder,
                timeout_s=settings.embed_timeout_s,
            ),
            feed=FeedFlow(store, log, heartbeat_s=settings.feed_heartbeat_s),
            media=media,
        )

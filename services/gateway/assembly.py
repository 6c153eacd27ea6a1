"""The parts of a gateway, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

from services.gateway import metrics, upstream
from services.gateway.access import opening as access_opening
from services.gateway.access.opening import Access
from services.gateway.cache import opening as cache_opening
from services.gateway.cache.layered import LayeredCache
from services.gateway.catalog import CatalogFlow
from services.gateway.dependencies import TIMEOUT_S, Dependencies, Ping
from services.gateway.directory import CatalogDirectory
from services.gateway.embedding import Embedder
from services.gateway.feed import FeedFlow
from services.gateway.generation_building import GenerationBuilder
from services.gateway.keeper import Keeper
from services.gateway.lifecycle import CatalogLifecycle
from services.gateway.media import MediaStore
from services.gateway.mesh_status import StatusFlow
from services.gateway.near_duplicates import NearDuplicateFinder
from services.gateway.photo_making import PhotoMaker
from services.gateway.photo_vectors import PhotoEmbedder
from services.gateway.photos import PhotoSource
from services.gateway.product_memory import ProductMemory
from services.gateway.query_log import QueryLog, QueryLogFlow
from services.gateway.query_vectors import QueryVectorSource
from services.gateway.ranking import Ranker
from services.gateway.recent_changes import RecentChanges
from services.gateway.search import SearchFlow
from services.gateway.settings import GatewaySettings
from services.gateway.shards import Shards
from services.gateway.store import opening as store_opening
from services.gateway.store.interface import Store
from services.gateway.store.log import ChangeLog
from services.gateway.store.opening import Stores
from services.gateway.writing import ProductWriter
from services.mesh import channel
from services.mesh.fetch.fetching import Fetcher, FetchLimits
from services.mesh.pictures.decoding import ImageLimits


@dataclass(frozen=True, slots=True)
class Gateway:
    """What the gRPC services and HTTP stand on. Its flows are for callers who may do what they ask."""

    search: SearchFlow
    catalog: CatalogFlow
    feed: FeedFlow
    media: MediaStore
    queries: QueryLogFlow
    status: StatusFlow
    access: Access


@dataclass(frozen=True, slots=True)
class Foundation:
    """What every role of a gateway stands on: what it keeps, the log of changes, who may call, the feed."""

    stores: Stores
    log: ChangeLog
    access: Access
    feed: FeedFlow


@asynccontextmanager
async def founded(
    settings: GatewaySettings, *, on_failure: Callable[[], None], store: Store | None = None
) -> AsyncIterator[Foundation]:
    """The stores open, what a dead writer left finished, and the log at work.

    `on_failure` is called should the log's writer ever fail. `store` stands in for the one of catalogues.
    """
    metrics.declare()
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(
            store_opening.opened(settings.store_url.get_secret_value(), settings.data_dir)
        )
        if store is not None:
            stores = replace(stores, catalog=store)
        access = await stack.enter_async_context(access_opening.opened(settings, stores.keys))
        log = ChangeLog(stores.catalog, keep_entries=settings.log_entries, poll_s=settings.feed_poll_s)
        await log.start()
        await stack.enter_async_context(log.running(on_failure))
        feed = FeedFlow(stores.catalog, log, heartbeat_s=settings.feed_heartbeat_s)
        yield Foundation(stores, log, access, access.guard(feed, "FeedService"))


@asynccontextmanager
async def assembled(
    settings: GatewaySettings, *, on_failure: Callable[[], None], store: Store | None = None
) -> AsyncIterator[Gateway]:
    """A gateway at work: its store open, what a dead writer left finished, the other services connected.

    `on_failure` is called should the log's writer, or the watch over the shards, ever fail. `store` stands in
    for the one of catalogues.
    """
    async with AsyncExitStack() as stack:
        foundation = await stack.enter_async_context(founded(settings, on_failure=on_failure, store=store))
        stores, log, access = foundation.stores, foundation.log, foundation.access
        store = stores.catalog
        connect = partial(channel.connect, tls=settings.channel_credentials())
        to_embedder = await stack.enter_async_context(connect(settings.embedder))
        to_ranker = await stack.enter_async_context(connect(settings.ranker))
        embedder = Embedder(to_embedder)
        ranker = Ranker(to_ranker, timeout_s=settings.rank_timeout_s)
        shards = Shards(
            settings.shard_targets,
            timeout_s=settings.shard_timeout_s,
            next_targets=settings.next_shard_targets,
            head=lambda: log.head,
            connect=connect,
        )
        stack.push_async_callback(shards.close)
        await stack.enter_async_context(shards.watched(on_failure))
        directory = CatalogDirectory(store, timeout_s=settings.store_timeout_s)
        cache = await stack.enter_async_context(
            cache_opening.opened(
                max_bytes=settings.cache_bytes,
                url=settings.cache_url.get_secret_value(),
                namespace=settings.cache_namespace,
                timeout_s=settings.cache_timeout_s,
            )
        )
        query_log = QueryLog(stores.queries, days=settings.query_log_days)
        await stack.enter_async_context(query_log.running())
        fetcher = Fetcher(
            FetchLimits(
                max_bytes=settings.max_image_bytes,
                timeout_s=settings.fetch_timeout_s,
                max_per_host_per_s=settings.fetch_per_host_per_s,
            ),
            allowed_hosts=settings.fetch_allowed_hosts,
        )
        stack.push_async_callback(fetcher.aclose)
        photos = PhotoSource(fetcher)
        media = MediaStore(
            stores.pictures,
            photos=photos,
            limits=ImageLimits(settings.max_image_bytes, settings.max_image_pixels),
            redirect_hosts=settings.media_redirect_hosts,
            fetch_timeout_s=settings.fetch_timeout_s,
        )
        vectors = QueryVectorSource(
            embedder=embedder, shards=shards, cache=cache, embed_timeout_s=settings.embed_timeout_s
        )
        photo_embedder = PhotoEmbedder(embedder, timeout_s=settings.write_timeout_s)
        writer = ProductWriter(
            store=store,
            log=log,
            maker=PhotoMaker(
                embedder=photo_embedder, media=media, photos=photos, timeout_s=settings.write_timeout_s
            ),
            ranker=ranker,
            near_duplicates=NearDuplicateFinder(
                store=store, shards=shards, cosine=settings.near_duplicate_cosine
            ),
            timeout_s=settings.write_timeout_s,
        )
        keeper = Keeper(
            store=store,
            log=log,
            builder=GenerationBuilder(store=store, log=log, embedder=photo_embedder, media=media),
        )
        await stack.enter_async_context(keeper.running(on_failure))
        pings: dict[str, Ping] = {
            "embedder": partial(upstream.check_health, "embedder", to_embedder, timeout_s=TIMEOUT_S),
            "ranker": partial(upstream.check_health, "ranker", to_ranker, timeout_s=TIMEOUT_S),
            "store": store.bounds,
        }
        if isinstance(cache, LayeredCache):
            pings["redis"] = cache.ping
        dependencies = Dependencies(pings)
        stack.push_async_callback(dependencies.close)
        recent = RecentChanges(store, log, poll_s=settings.recent_poll_s)
        await stack.enter_async_context(recent.running(on_failure))
        yield Gateway(
            search=access.guard(
                SearchFlow(
                    directory=directory,
                    store=store,
                    products=ProductMemory(store, recent, max_bytes=settings.product_memory_bytes),
                    shards=shards,
                    vectors=vectors,
                    ranker=ranker,
                    cache=cache,
                    query_log=query_log,
                    max_image_bytes=settings.max_image_bytes,
                    store_timeout_s=settings.store_timeout_s,
                ),
                "SearchService",
            ),
            catalog=access.guard(
                CatalogFlow(
                    store=store,
                    lifecycle=CatalogLifecycle(
                        store=store,
                        log=log,
                        directory=directory,
                        embedder=embedder,
                        shards=shards,
                        nudge=keeper.nudge,
                        timeout_s=settings.embed_timeout_s,
                    ),
                    writer=writer,
                    problems=keeper.problems,
                    max_image_bytes=settings.max_image_bytes,
                ),
                "CatalogService",
            ),
            feed=foundation.feed,
            media=media,
            queries=access.guard(
                QueryLogFlow(store=stores.queries, log=query_log, directory=directory), "QueryService"
            ),
            status=access.guard(
                StatusFlow(
                    sets=shards.sets,
                    dependencies=dependencies,
                    embedder=embedder,
                    head=lambda: log.head,
                    timeout_s=settings.embed_timeout_s,
                ),
                "StatusService",
            ),
            access=access,
        )

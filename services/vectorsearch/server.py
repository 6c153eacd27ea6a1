"""The gRPC server of a shard."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, TypeVar

import faiss
import structlog

from services.mesh import channel, deadline
from services.mesh.buckets import buckets_of
from services.mesh.errors import FailedPrecondition
from services.mesh.server import Host
from services.mesh.stages import StageClock
from services.vectorsearch import metrics, wire
from services.vectorsearch.filters import Filter
from services.vectorsearch.follower import Follower
from services.vectorsearch.lanes import Lanes
from services.vectorsearch.rows import CatalogRows
from services.vectorsearch.search import SpaceQuery, search
from services.vectorsearch.settings import Settings
from services.vectorsearch.shard import FrozenShard, Shard
from services.vectorsearch.snapshot import SnapshotStore
from vitrine.v1 import catalog_pb2_grpc, vectorsearch_pb2, vectorsearch_pb2_grpc

_log = structlog.get_logger()

Result = TypeVar("Result")


class VectorSearchServicer(vectorsearch_pb2_grpc.VectorSearchServiceServicer):
    """Messages in, core, messages out. Searches run in `searchers`, a pool of threads."""

    def __init__(
        self, shard: Shard, follower: Follower, searchers: Executor, lanes: Lanes, settings: Settings
    ) -> None:
        self._shard = shard
        self._follower = follower
        self._searchers = searchers
        self._settings = settings
        self._lanes = lanes

    async def SearchVectors(
        self, request: vectorsearch_pb2.SearchVectorsRequest, _context: Any
    ) -> vectorsearch_pb2.SearchVectorsResponse:
        """See the proto."""
        wire.check_search(request)
        queries = wire.queries_of(request)
        narrowed = wire.filter_of(request.filter)
        await self._follower.reach(request.min_revision)
        response = await self._in_pool(lambda: self._search(request, queries, narrowed))
        metrics.SEARCHES.labels(response.plan).inc()
        return response

    async def GetVectors(
        self, request: vectorsearch_pb2.GetVectorsRequest, _context: Any
    ) -> vectorsearch_pb2.GetVectorsResponse:
        """See the proto."""
        wire.check_get(request)
        await self._follower.reach(request.min_revision)
        return await self._in_pool(lambda: self._get(request))

    async def GetShardStatus(
        self, _request: vectorsearch_pb2.GetShardStatusRequest, _context: Any
    ) -> vectorsearch_pb2.GetShardStatusResponse:
        """See the proto."""
        return await self._in_pool(self._status)

    def _search(
        self,
        request: vectorsearch_pb2.SearchVectorsRequest,
        queries: Sequence[tuple[SpaceQuery, str]],
        narrowed: Filter,
    ) -> vectorsearch_pb2.SearchVectorsResponse:
        with self._shard.reading():
            rows = self._rows(request.catalog, request.generation)
            comparable = wire.comparable(queries, rows.spaces)
            clock = StageClock()
            with clock.stage("filter"):
                passing = narrowed.passing(rows.columns, rows.searchable)
                for product_id in request.exclude_product_ids:
                    if product := rows.products.get(product_id):
                        passing[product.slot] = False
                facets = [
                    wire.facet(name, column.counts(passing, wire.MAX_FACET_VALUES) if column else [])
                    for name in request.facet_attributes
                    for column in (rows.columns.get(name),)
                ]
            with clock.stage("search"):
                with self._lanes.search() as run:
                    found = search(rows, comparable, passing, request.limit, run=run)
                labels = [rows.columns.labels(name, found.slots) for name in request.label_names]
                candidates = wire.candidates(found, comparable, labels)
            return vectorsearch_pb2.SearchVectorsResponse(
                candidates=candidates,
                facets=facets,
                revision=self._shard.revision,
                plan=found.plan,
                rows_passed=found.rows_passed,
                stages=clock.timings,
                unknown_attributes=_unknown(rows, request, narrowed),
            )

    def _get(self, request: vectorsearch_pb2.GetVectorsRequest) -> vectorsearch_pb2.GetVectorsResponse:
        with self._shard.reading():
            rows = self._rows(request.catalog, request.generation)
            return vectorsearch_pb2.GetVectorsResponse(
                products=[
                    wire.product_vectors(rows, product_id, request.label_names)
                    for product_id in dict.fromkeys(request.product_ids)
                    if product_id in rows.products
                ],
                revision=self._shard.revision,
            )

    def _status(self) -> vectorsearch_pb2.GetShardStatusResponse:
        with self._shard.reading():
            return vectorsearch_pb2.GetShardStatusResponse(
                shard=self._settings.shard,
                shards=self._settings.shards,
                revision=self._shard.revision,
                feed_revision=self._follower.feed_revision,
                caught_up=self._follower.caught_up,
                following=self._follower.following,
                catalogs=[
                    vectorsearch_pb2.ShardCatalog(
                        catalog=size.catalog,
                        products=size.products,
                        rows=size.rows,
                        vector_bytes=size.vector_bytes,
                    )
                    for size in self._shard.sizes()
                ],
            )

    def _rows(self, catalog: str, generation: str) -> CatalogRows:
        rows = self._shard.rows(catalog, generation)
        if rows is not None:
            return rows
        if self._shard.holds_other_generation(catalog, generation):
            raise FailedPrecondition(f"there are no rows of generation {generation}", reason="MODEL_MISMATCH")
        # A shard may well have no product of a catalogue: that is for the caller, who sees all shards, to
        # judge.
        return CatalogRows()

    async def _in_pool(self, work: Callable[[], Result]) -> Result:
        """Do `work` in a search thread, unless the caller has left or its deadline passed before its turn."""

        def in_turn() -> Result:
            deadline.remaining_s(self._settings.default_timeout_s)
            return work()

        # The deadline and the trace are in the context.
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._searchers, context.run, in_turn)


class Snapshots:
    """Takes snapshots of a shard: frozen in the writer's thread, written to disk in another."""

    def __init__(self, shard: Shard, store: SnapshotStore, *, writer: Executor, interval_s: float) -> None:
        self._shard = shard
        self._store = store
        self._writer = writer
        self._interval_s = interval_s
        self._saved_revision = shard.revision

    async def run(self) -> None:
        """Take one at every interval in which something changed, until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s)
            await self.take()

    async def take(self) -> None:
        """Take one if something changed since the last."""
        if self._shard.revision == self._saved_revision:
            return
        start = time.perf_counter()
        frozen: FrozenShard = await asyncio.get_running_loop().run_in_executor(
            self._writer, self._shard.freeze
        )
        try:
            await asyncio.to_thread(self._store.save, frozen)
        except OSError as error:
            # The next interval tries again; searches need no snapshot.
            _log.error("snapshot failed", error=str(error))
            metrics.SNAPSHOTS.labels("failed").inc()
            return
        self._saved_revision = frozen.revision
        metrics.SNAPSHOTS.labels("ok").inc()
        metrics.SNAPSHOT_SECONDS.observe(time.perf_counter() - start)
        _log.info("snapshot taken", revision=frozen.revision)


def _unknown(
    rows: CatalogRows, request: vectorsearch_pb2.SearchVectorsRequest, narrowed: Filter
) -> list[str]:
    exact = [*narrowed.attributes(), *request.facet_attributes]
    unknown = [name for name in exact if rows.columns.get(name) is None]
    unknown += [name for name in request.label_names if not rows.columns.knows_label(name)]
    return list(dict.fromkeys(unknown))


async def main(settings: Settings) -> None:
    """Serve until told to stop."""
    metrics.declare()
    host = Host(settings, "vectorsearch")
    store = SnapshotStore(settings.data_dir, shard=settings.shard, shards=settings.shards)
    loaded = await asyncio.to_thread(store.load)
    shard = Shard.thaw(loaded) if loaded else Shard()
    writer = ThreadPoolExecutor(1, thread_name_prefix="writer")
    # As many searches at once as there are search threads, each on its own alone. OpenMP keeps the number
    # of helpers for each thread that calls it, so every searcher has to say that it wants none.
    searchers = ThreadPoolExecutor(
        settings.search_threads,
        thread_name_prefix="search",
        initializer=faiss.omp_set_num_threads,
        initargs=(1,),
    )
    lanes = Lanes(settings.search_threads)
    # An empty list asks for all buckets.
    buckets = buckets_of(settings.shard, settings.shards) if settings.shards > 1 else []
    async with channel.connect(settings.feed_target) as feed:
        follower = Follower(
            shard,
            catalog_pb2_grpc.FeedServiceStub(feed),
            writer=writer,
            buckets=buckets,
            backoff_max_s=settings.feed_backoff_max_s,
            on_caught_up=host.serving,
        )
        snapshots = Snapshots(shard, store, writer=writer, interval_s=settings.snapshot_interval_s)
        servicer = VectorSearchServicer(shard, follower, searchers, lanes, settings)
        host.add(
            vectorsearch_pb2.DESCRIPTOR.services_by_name["VectorSearchService"],
            lambda server: vectorsearch_pb2_grpc.add_VectorSearchServiceServicer_to_server(servicer, server),
        )
        await host.start()
        if loaded:
            # What a snapshot holds may be old but is whole, and a shard that lags is better than one that
            # is away.
            await host.serving()
        host.run_beside(follower.run())
        host.run_beside(snapshots.run())
        await host.wait()
        await snapshots.take()
    searchers.shutdown()
    lanes.shutdown()
    writer.shutdown()

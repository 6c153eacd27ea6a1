"""The gRPC server of a shard."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, TypeVar

from services.mesh import channel
from services.mesh.batching.admission import AdmissionLimits
from services.mesh.buckets import buckets_of
from services.mesh.errors import VitrineError
from services.mesh.server import Host
from services.mesh.status import to_item
from services.mesh.watch import watch
from services.vectorsearch import metrics, wire
from services.vectorsearch.answering import Answerer, rows_of, unknown
from services.vectorsearch.follower import Follower
from services.vectorsearch.indexes.devices import Devices, gpu_count
from services.vectorsearch.indexes.indexing import Indexing
from services.vectorsearch.indexes.kinds import Kinds
from services.vectorsearch.lanes import Lanes
from services.vectorsearch.searching import Searching
from services.vectorsearch.settings import Settings
from services.vectorsearch.shard import Compacted, Shard
from services.vectorsearch.storage.durability import Durability
from vitrine.v1 import catalog_pb2_grpc, vectorsearch_pb2, vectorsearch_pb2_grpc

Result = TypeVar("Result")

_SWITCH_INTERVAL_S = 1e-4

# Threads for what is looked up and counted beside searches.
_LOOKUP_THREADS = 2


class VectorSearchServicer(vectorsearch_pb2_grpc.VectorSearchServiceServicer):
    """Messages in, core, messages out. What is no search and no write is done in `lookups`."""

    def __init__(
        self,
        shard: Shard,
        follower: Follower,
        searching: Searching,
        *,
        durability: Durability,
        indexing: Indexing,
        writer: Executor,
        lookups: Executor,
        settings: Settings,
    ) -> None:
        self._shard = shard
        self._follower = follower
        self._searching = searching
        self._durability = durability
        self._indexing = indexing
        self._writer = writer
        self._lookups = lookups
        self._settings = settings
        self._compaction: asyncio.Future[Compacted] | None = None

    async def SearchVectors(
        self, request: vectorsearch_pb2.SearchVectorsRequest, _context: Any
    ) -> vectorsearch_pb2.SearchVectorsResponse:
        """See the proto."""
        search = wire.search_of(request)
        await self._follower.reach(request.min_revision)
        (outcome,) = await self._searching.search([search])
        if isinstance(outcome, VitrineError):
            raise outcome
        return outcome

    async def BatchSearchVectors(
        self, request: vectorsearch_pb2.BatchSearchVectorsRequest, _context: Any
    ) -> vectorsearch_pb2.BatchSearchVectorsResponse:
        """See the proto."""
        wire.check_batch(request)
        outcomes = [vectorsearch_pb2.SearchOutcome() for _ in request.requests]
        searches = []
        for outcome, each in zip(outcomes, request.requests, strict=True):
            try:
                searches.append((outcome, wire.search_of(each)))
            except VitrineError as error:
                outcome.status.CopyFrom(to_item(error))
        if searches:
            await self._follower.reach(max(search.request.min_revision for _, search in searches))
            answers = await self._searching.search([search for _, search in searches])
            for (outcome, _), answer in zip(searches, answers, strict=True):
                if isinstance(answer, VitrineError):
                    outcome.status.CopyFrom(to_item(answer))
                else:
                    outcome.response.CopyFrom(answer)
        return vectorsearch_pb2.BatchSearchVectorsResponse(outcomes=outcomes)

    async def CountFacets(
        self, request: vectorsearch_pb2.CountFacetsRequest, _context: Any
    ) -> vectorsearch_pb2.CountFacetsResponse:
        """See the proto."""
        wire.check_facets(request)
        narrowed = wire.filter_of(request.filter)
        await self._follower.reach(request.min_revision)

        def count() -> vectorsearch_pb2.CountFacetsResponse:
            with self._shard.reading():
                rows = rows_of(self._shard, request.catalog, request.generation)
                passing = narrowed.passing(rows.columns, rows.searchable)
                return vectorsearch_pb2.CountFacetsResponse(
                    facets=wire.facets(rows.columns, [(name, passing) for name in request.attributes]),
                    products=int(passing.sum()),
                    revision=self._shard.revision,
                    unknown_attributes=unknown(rows.columns, [*narrowed.attributes(), *request.attributes]),
                )

        return await self._in(self._lookups, count)

    async def GetVectors(
        self, request: vectorsearch_pb2.GetVectorsRequest, _context: Any
    ) -> vectorsearch_pb2.GetVectorsResponse:
        """See the proto."""
        wire.check_get(request)
        await self._follower.reach(request.min_revision)

        def look_up() -> vectorsearch_pb2.GetVectorsResponse:
            with self._shard.reading():
                rows = rows_of(self._shard, request.catalog, request.generation)
                return vectorsearch_pb2.GetVectorsResponse(
                    products=[
                        wire.product_vectors(rows, product_id, request.label_names)
                        for product_id in dict.fromkeys(request.product_ids)
                        if product_id in rows.products
                    ],
                    revision=self._shard.revision,
                )

        return await self._in(self._lookups, look_up)

    async def GetShardStatus(
        self, _request: vectorsearch_pb2.GetShardStatusRequest, _context: Any
    ) -> vectorsearch_pb2.GetShardStatusResponse:
        """See the proto."""

        def look_up() -> vectorsearch_pb2.GetShardStatusResponse:
            with self._shard.reading():
                return vectorsearch_pb2.GetShardStatusResponse(
                    shard=self._settings.shard,
                    shards=self._settings.shards,
                    revision=self._shard.revision,
                    feed_revision=self._follower.feed_revision,
                    caught_up=self._follower.caught_up,
                    following=self._follower.following,
                    catalogs=wire.shard_catalogs(self._shard.sizes(), self._indexing.states()),
                    snapshot_revision=self._durability.snapshot_revision,
                    journal_revision=self._durability.journal_revision,
                )

        return await self._in(self._lookups, look_up)

    async def CompactShard(
        self, _request: vectorsearch_pb2.CompactShardRequest, _context: Any
    ) -> vectorsearch_pb2.CompactShardResponse:
        """See the proto."""
        # Whoever asks while it is being done has it done.
        if self._compaction is None or self._compaction.done():
            self._compaction = asyncio.ensure_future(self._in(self._writer, self._shard.compact))
        compacted = await asyncio.shield(self._compaction)
        return vectorsearch_pb2.CompactShardResponse(segments=compacted.segments, rows=compacted.rows)

    async def SnapshotShard(
        self, _request: vectorsearch_pb2.SnapshotShardRequest, _context: Any
    ) -> vectorsearch_pb2.SnapshotShardResponse:
        """See the proto."""
        return vectorsearch_pb2.SnapshotShardResponse(revision=await self._durability.take())

    @staticmethod
    async def _in(executor: Executor, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(executor, work)


async def main(settings: Settings) -> None:
    """Serve until told to stop."""
    metrics.declare()
    host = Host(settings, "vectorsearch")
    # Numpy's and NumKong's calls give the interpreter up and wait to have it back, by default up to 5 ms
    # while another thread is busy in it.
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    kinds = Kinds.parse(settings.index_kinds, auto_flat_rows=settings.auto_flat_rows, gpus=gpu_count())
    shard = Shard(precision_of=kinds.precision_of, on_compacted=metrics.COMPACTIONS.inc)
    writer = ThreadPoolExecutor(1, thread_name_prefix="writer")
    lookups = ThreadPoolExecutor(_LOOKUP_THREADS, thread_name_prefix="lookup")
    lanes = Lanes(settings.search_threads)
    durability = Durability(
        shard,
        settings.data_dir,
        number=settings.shard,
        shards=settings.shards,
        writer=writer,
        snapshot_interval_s=settings.snapshot_interval_s,
        journal_sync_interval_s=settings.journal_sync_interval_s,
        journal_max_bytes=settings.journal_max_bytes,
    )
    loaded = await asyncio.to_thread(durability.load)
    devices = Devices(temp_memory_mib=settings.gpu_temp_mib) if gpu_count() else None
    indexing = Indexing(shard, kinds, devices)
    searching = Searching(
        Answerer(shard, lanes),
        AdmissionLimits(settings.max_queued_searches, settings.max_queued_bytes),
    )
    # An empty list asks for all buckets.
    buckets = buckets_of(settings.shard, settings.shards) if settings.shards > 1 else []

    def caught_up() -> None:
        # What is held now stays, by the million: the collector need not walk over it again and again.
        gc.freeze()
        host.serving()

    async with channel.connect(settings.feed_target, tls=settings.channel_credentials()) as feed:
        follower = Follower(
            shard,
            catalog_pb2_grpc.FeedServiceStub(feed),
            writer=writer,
            durability=durability,
            indexing=indexing,
            buckets=buckets,
            key=settings.feed_key.get_secret_value(),
            backoff_max_s=settings.feed_backoff_max_s,
            on_caught_up=caught_up,
        )
        metrics.LAG_SECONDS.set_function(lambda: follower.lag_s)
        metrics.SNAPSHOT_AGE_SECONDS.set_function(lambda: durability.snapshot_age_s)
        servicer = VectorSearchServicer(
            shard,
            follower,
            searching,
            durability=durability,
            indexing=indexing,
            writer=writer,
            lookups=lookups,
            settings=settings,
        )
        host.add(
            vectorsearch_pb2.DESCRIPTOR.services_by_name["VectorSearchService"],
            lambda server: vectorsearch_pb2_grpc.add_VectorSearchServiceServicer_to_server(servicer, server),
        )
        await host.start()
        if loaded:
            # What is on disk may be old but is whole, and a shard that lags is better than one that is away.
            gc.freeze()
            host.serving()
        await asyncio.wrap_future(writer.submit(indexing.look))
        host.run_beside(follower.run())
        host.run_beside(durability.run())
        host.run_beside(watch(host, [searching.stage]))
        await host.wait()
    searching.close()
    indexing.stop()
    await durability.close()
    for executor in (lanes, lookups, writer):
        executor.shutdown()

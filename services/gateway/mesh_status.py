"""How the mesh is, as this gateway sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

import vitrine
from services.gateway import tallies
from services.gateway.dependencies import Dependencies
from services.gateway.embedding import Embedder
from services.gateway.replicas import Replica, State
from services.gateway.shard_sets import ShardSets
from services.mesh import stages
from vitrine.v1 import status_pb2, vectorsearch_pb2

_STATES = {
    State.UNKNOWN: status_pb2.REPLICA_STATE_UNSPECIFIED,
    State.MISPLACED: status_pb2.REPLICA_STATE_MISPLACED,
    State.CATCHING_UP: status_pb2.REPLICA_STATE_CATCHING_UP,
    State.CAUGHT_UP: status_pb2.REPLICA_STATE_CAUGHT_UP,
}


class StatusFlow:
    """Answers StatusService; messages in and out, domain errors as status.proto lists them.

    `head` gives the last revision of the log that this process knows, the embedder has `timeout_s` to list
    its models. The gateway was started when this is made.
    """

    def __init__(
        self,
        *,
        sets: ShardSets,
        dependencies: Dependencies,
        embedder: Embedder,
        head: Callable[[], int],
        timeout_s: float,
    ) -> None:
        self._sets = sets
        self._dependencies = dependencies
        self._embedder = embedder
        self._head = head
        self._timeout_s = timeout_s
        self._start_time = Timestamp()
        self._start_time.GetCurrentTime()

    async def get_status(self, _request: status_pb2.GetStatusRequest) -> status_pb2.GetStatusResponse:
        """Tell what is known, and ask the dependencies."""
        dependencies = await self._dependencies.statuses()
        head = self._head()
        return status_pb2.GetStatusResponse(
            version=vitrine.__version__,
            start_time=self._start_time,
            revision=head,
            replicas=self._replicas(head),
            dependencies=dependencies,
            stages=stages.latencies(),
            searches=tallies.searches(),
            cache_lookups=tallies.cache_lookups(),
            cache_bytes=tallies.cache_bytes(),
        )

    async def get_models(self, _request: status_pb2.GetModelsRequest) -> status_pb2.GetModelsResponse:
        """List the embedder's models."""
        return status_pb2.GetModelsResponse(models=await self._embedder.all_models(timeout_s=self._timeout_s))

    def _replicas(self, head: int) -> Iterator[status_pb2.ReplicaStatus]:
        for each in self._sets.all:
            place = {"set": each.name, "in_use": each is self._sets.in_use}
            for shard in each.shards:
                for replica in shard.all:
                    yield _replica(replica, head, shard=shard.place.shard, **place)


def _replica(replica: Replica, head: int, **place: Any) -> status_pb2.ReplicaStatus:
    """What is known of one; of one that answers no more the numbers are those that it told last."""
    told = replica.told or vectorsearch_pb2.GetShardStatusResponse()
    # Its answers to searches tell of revisions too, and sooner.
    revision = max(replica.revision, told.revision)
    generations = [each for catalog in told.catalogs for each in catalog.generations]
    return status_pb2.ReplicaStatus(
        **place,
        target=replica.target,
        state=status_pb2.REPLICA_STATE_UNSPECIFIED if replica.is_silent else _STATES[replica.state],
        revision=revision,
        lag=max(0, head - revision),
        in_hand=replica.in_hand,
        products=sum(catalog.products for catalog in told.catalogs),
        rows=sum(catalog.rows for catalog in told.catalogs),
        memory_bytes=sum(each.memory_bytes for each in generations),
        index_kinds=sorted({index.kind for each in generations for index in each.indexes}),
    )

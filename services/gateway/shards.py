"""All shards of the catalogue asked at once, within a budget; what does not come in time is left out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from services.gateway import candidates
from services.gateway.discovery import Discovery, Resolve
from services.gateway.replicas import Replicas, Request, Response, Rpc
from services.gateway.shard_calls import NOT_REACHED, Answer, ShardCalls
from services.gateway.shard_sets import ShardSets
from services.mesh import channel, deadline, resolving
from services.mesh.background import beside
from services.mesh.buckets import bucket_of, shard_of
from services.mesh.channel import Connect
from services.mesh.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
    VitrineError,
)
from vitrine.v1 import common_pb2, vectorsearch_pb2

_log = structlog.get_logger()

# The share of the caller's time that the shards may take, so that there is some left to answer in.
SHARE_OF_DEADLINE = 0.8

_SEARCH: Rpc[vectorsearch_pb2.SearchVectorsRequest, vectorsearch_pb2.SearchVectorsResponse] = Rpc(
    "SearchVectors", lambda stub: stub.SearchVectors, lambda answer: answer.revision
)
_BATCH_SEARCH: Rpc[
    vectorsearch_pb2.BatchSearchVectorsRequest, vectorsearch_pb2.BatchSearchVectorsResponse
] = Rpc(
    "BatchSearchVectors",
    lambda stub: stub.BatchSearchVectors,
    # Searches that failed reflect none.
    lambda answer: max((each.response.revision for each in answer.outcomes), default=0),
)
_VECTORS: Rpc[vectorsearch_pb2.GetVectorsRequest, vectorsearch_pb2.GetVectorsResponse] = Rpc(
    "GetVectors", lambda stub: stub.GetVectors, lambda answer: answer.revision
)


@dataclass(frozen=True, slots=True)
class Found:
    """What the shards that answered have found together.

    `missing` are those that did not answer, and those whose only answer lacks much: the replica that gave it
    was started a moment ago and has not caught up.
    """

    candidates: common_pb2.Candidates
    facets: list[common_pb2.Facet]
    revision: int
    plans: list[str]
    missing: list[int]
    total: int
    unknown_attributes: frozenset[str]


class Shards:
    """A client of every shard: `targets` of each one's replicas, shards in order.

    A target is an address or a name (`dns:///shard-0:50060`), which stands for every address behind it.
    `next_targets` are those of another set, to go over to; `head` gives the last revision of the log known,
    `connect` makes the connections, `resolve` finds the addresses behind names.
    """

    def __init__(
        self,
        targets: Sequence[Sequence[str]],
        *,
        timeout_s: float,
        next_targets: Sequence[Sequence[str]] = (),
        head: Callable[[], int] = lambda: 0,
        connect: Connect = channel.connect,
        resolve: Resolve = resolving.resolve,
    ) -> None:
        self._sets = ShardSets(targets, next_targets, head=head, connect=connect)
        self._discovery = Discovery([shard for each in self._sets.all for shard in each.shards], resolve)
        self._calls = ShardCalls(timeout_s=timeout_s)
        self._timeout_s = timeout_s

    @property
    def sets(self) -> ShardSets:
        """Every set of shards, and what is known of their replicas."""
        return self._sets

    async def close(self) -> None:
        """Close the connections."""
        await self._sets.close()

    @asynccontextmanager
    async def watched(self, on_failure: Callable[[], None]) -> AsyncIterator[None]:
        """Watch the replicas meanwhile; those behind names have been looked for when this begins.

        Should that fail, `on_failure` is called, and leaving raises the cause.
        """
        await self._discovery.look()
        async with beside(self._sets.watch, self._discovery.watch, on_failure=on_failure):
            yield

    async def search(self, request: vectorsearch_pb2.SearchVectorsRequest) -> Found:
        """Ask all shards and put together what they found, `request.limit` products at most.

        With `group_by` its attribute must be among the `label_names`. `unknown_attributes` are those which
        every shard says no product has; none while a shard is missing.
        Raises Unavailable when no shard answered, or one is not at `min_revision` yet, and ResourceExhausted
        when none did and one has too much to do; what they refuse as wrong is raised.
        """
        shards = self._sets.in_use.shards
        outcomes = await self._gather(_SEARCH, dict.fromkeys(shards, request), request.min_revision)
        missing = [
            index
            for index, outcome in enumerate(outcomes)
            if isinstance(outcome, VitrineError) or outcome.is_behind
        ]
        answers = [outcome.response for outcome in outcomes if not isinstance(outcome, VitrineError)]
        if not answers:
            _raise_overload(outcomes)
            raise Unavailable("no shard can be reached", reason="SHARDS_UNAVAILABLE")
        unknown = frozenset.intersection(*(frozenset(answer.unknown_attributes) for answer in answers))
        return Found(
            candidates=candidates.merged(
                [answer.candidates for answer in answers],
                request.limit,
                request.group_by if request.HasField("group_by") else None,
                request.vectors_limit,
            ),
            facets=candidates.merged_facets([answer.facets for answer in answers], request.facet_attributes),
            revision=min(answer.revision for answer in answers),
            plans=[answer.plan for answer in answers],
            missing=missing,
            total=len(shards),
            unknown_attributes=unknown if not missing else frozenset(),
        )

    async def batch_search(
        self, request: vectorsearch_pb2.BatchSearchVectorsRequest
    ) -> list[common_pb2.Candidates]:
        """What the shards that answer find for each of some searches, which have no `group_by`.

        Raises Unavailable when no shard answered, and ResourceExhausted when none did and one has too much to
        do. A search that a shard refuses finds nothing there.
        """
        outcomes = await self._gather(_BATCH_SEARCH, dict.fromkeys(self._sets.in_use.shards, request), 0)
        answers = [outcome.response for outcome in outcomes if not isinstance(outcome, VitrineError)]
        if not answers:
            _raise_overload(outcomes)
            raise Unavailable("no shard can be reached", reason="SHARDS_UNAVAILABLE")
        found = [
            [answer.outcomes[index].response.candidates for answer in answers]
            for index in range(len(request.requests))
        ]
        return [
            candidates.merged(its, search.limit) for its, search in zip(found, request.requests, strict=True)
        ]

    async def hold(self, revision: int) -> bool:
        """Whether all replicas that answer reflect a revision, and every shard has one that does."""
        return await self._sets.in_use.holds(revision)

    async def vectors(
        self, request: vectorsearch_pb2.GetVectorsRequest
    ) -> dict[str, vectorsearch_pb2.ProductVectors]:
        """The vectors of products, by id, from the shards that own them.

        Raises NotFound for a product that its shard does not hold, Unavailable for a shard that is away, and
        ResourceExhausted for one that refuses.
        """
        shards = self._sets.in_use.shards
        owned: dict[Replicas, list[str]] = {}
        for product_id in request.product_ids:
            shard = shards[shard_of(bucket_of(request.catalog, product_id), len(shards))]
            owned.setdefault(shard, []).append(product_id)
        requests = {}
        for shard, product_ids in owned.items():
            requests[shard] = vectorsearch_pb2.GetVectorsRequest()
            requests[shard].CopyFrom(request)
            requests[shard].product_ids[:] = product_ids
        outcomes = await self._gather(_VECTORS, requests, request.min_revision)
        found: dict[str, vectorsearch_pb2.ProductVectors] = {}
        for (shard, product_ids), outcome in zip(owned.items(), outcomes, strict=True):
            if not isinstance(outcome, VitrineError):
                found |= {product.product_id: product for product in outcome.response.products}
                # One that has caught up knows what there is not.
                if not outcome.is_behind or found.keys() >= set(product_ids):
                    continue
            _raise_overload([outcome])
            raise Unavailable(
                f"shard {shard.place.shard}, which has the query's product, is away",
                reason="SHARDS_UNAVAILABLE",
            )
        for product_id in request.product_ids:
            if product_id not in found or not found[product_id].photos:
                raise NotFound(f"there is no product {product_id} with a photo in this catalogue")
        return found

    async def _gather(
        self, rpc: Rpc[Request, Response], requests: Mapping[Replicas, Request], min_revision: int
    ) -> list[Answer[Response] | VitrineError]:
        """Each shard's answer, or why there is none; raises what is no failure of a shard."""
        # A shard may have to wait for a revision: then it has as long as the caller.
        most_s = 3600.0 if min_revision else self._timeout_s
        timeout_s = min(most_s, deadline.remaining_s(3600.0) * SHARE_OF_DEADLINE)
        calls = [
            self._calls.ask(shard, rpc, request, min_revision=min_revision, timeout_s=timeout_s)
            for shard, request in requests.items()
        ]
        outcomes: list[Answer[Response] | VitrineError] = []
        for outcome in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(outcome, VitrineError):
                self._refuse(outcome, min_revision)
                # Refusals come by the hundred, at the moment when a line each is wanted least.
                tell = _log.debug if isinstance(outcome, ResourceExhausted) else _log.warning
                tell("shard failed", error=outcome.message, reason=outcome.reason)
                outcomes.append(outcome)
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                outcomes.append(outcome)
        return outcomes

    @staticmethod
    def _refuse(error: VitrineError, min_revision: int) -> None:
        """Raise what an answer without this shard could not make good."""
        if isinstance(error, InvalidArgument | FailedPrecondition | DeadlineExceeded):
            raise error
        late = isinstance(error.__cause__, DeadlineExceeded)
        if error.reason == NOT_REACHED or (min_revision and late):
            raise Unavailable(f"revision {min_revision} was not reached in time", reason=NOT_REACHED)


def _raise_overload(outcomes: Iterable[object]) -> None:
    """Raise the refusal of a shard that has too much to do, if one is among these."""
    for outcome in outcomes:
        if isinstance(outcome, ResourceExhausted):
            raise outcome

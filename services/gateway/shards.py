"""All shards of the catalogue asked at once, within a budget; what does not come in time is left out."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc.aio
import structlog

from services.gateway import candidates, upstream
from services.mesh import channel, deadline
from services.mesh.buckets import bucket_of, shard_of
from services.mesh.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unavailable,
    VitrineError,
)
from vitrine.v1 import common_pb2, vectorsearch_pb2, vectorsearch_pb2_grpc

_log = structlog.get_logger()

Response = TypeVar("Response")

# The share of the caller's time that the shards may take, so that there is some left to answer in.
SHARE_OF_DEADLINE = 0.8
NOT_REACHED = "REVISION_NOT_REACHED"


@dataclass(frozen=True, slots=True)
class Found:
    """What the shards that answered have found together."""

    candidates: common_pb2.Candidates
    facets: list[common_pb2.Facet]
    revision: int
    plans: list[str]
    missing: list[int]
    total: int
    unknown_attributes: frozenset[str]


class Shards:
    """A client of every shard, by their order."""

    def __init__(self, targets: Sequence[str], *, timeout_s: float) -> None:
        self._channels = [channel.connect(target) for target in targets]
        self._stubs = [vectorsearch_pb2_grpc.VectorSearchServiceStub(each) for each in self._channels]
        self._timeout_s = timeout_s

    async def close(self) -> None:
        """Close the connections."""
        for each in self._channels:
            await each.close()

    async def search(self, request: vectorsearch_pb2.SearchVectorsRequest) -> Found:
        """Ask all shards and put together what they found, `request.limit` products at most.

        `unknown_attributes` are those which every shard says no product has; none while a shard is missing.
        Raises Unavailable when no shard answered, or one is not at `min_revision` yet; what they refuse is
        raised.
        """
        outcomes = await self._gather(
            [stub.SearchVectors for stub in self._stubs], [request] * len(self._stubs), request.min_revision
        )
        answers = [outcome for outcome in outcomes if not isinstance(outcome, VitrineError)]
        missing = [index for index, outcome in enumerate(outcomes) if isinstance(outcome, VitrineError)]
        if not answers:
            raise Unavailable("no shard can be reached", reason="SHARDS_UNAVAILABLE")
        unknown = frozenset.intersection(*(frozenset(answer.unknown_attributes) for answer in answers))
        return Found(
            candidates=candidates.merged([answer.candidates for answer in answers], request.limit),
            facets=candidates.merged_facets([answer.facets for answer in answers], request.facet_attributes),
            revision=min(answer.revision for answer in answers),
            plans=[answer.plan for answer in answers],
            missing=missing,
            total=len(self._stubs),
            unknown_attributes=unknown if not missing else frozenset(),
        )

    async def vectors(
        self, request: vectorsearch_pb2.GetVectorsRequest
    ) -> dict[str, vectorsearch_pb2.ProductVectors]:
        """The vectors of products, by id, from the shards that own them.

        Raises NotFound for a product that its shard does not hold, Unavailable for a shard that is away.
        """
        owned: dict[int, list[str]] = {}
        for product_id in request.product_ids:
            shard = shard_of(bucket_of(request.catalog, product_id), len(self._stubs))
            owned.setdefault(shard, []).append(product_id)
        requests = []
        for product_ids in owned.values():
            part = vectorsearch_pb2.GetVectorsRequest()
            part.CopyFrom(request)
            part.product_ids[:] = product_ids
            requests.append(part)
        outcomes = await self._gather(
            [self._stubs[shard].GetVectors for shard in owned], requests, request.min_revision
        )
        found: dict[str, vectorsearch_pb2.ProductVectors] = {}
        for shard, outcome in zip(owned, outcomes, strict=True):
            if isinstance(outcome, VitrineError):
                raise Unavailable(
                    f"shard {shard}, which has the query's product, is away", reason="SHARDS_UNAVAILABLE"
                )
            found |= {product.product_id: product for product in outcome.products}
        for product_id in request.product_ids:
            if product_id not in found or not found[product_id].photos:
                raise NotFound(f"there is no product {product_id} with a photo in this catalogue")
        return found

    async def _gather(
        self,
        methods: Sequence[grpc.aio.UnaryUnaryMultiCallable[Any, Response]],
        requests: Sequence[Any],
        min_revision: int,
    ) -> list[Response | VitrineError]:
        """Each shard's answer, or why there is none; raises what is no failure of a shard."""
        # A shard may have to wait for a revision: then it has as long as the caller.
        most_s = 3600.0 if min_revision else self._timeout_s
        timeout_s = min(most_s, deadline.remaining_s(3600.0) * SHARE_OF_DEADLINE)
        calls: list[Coroutine[Any, Any, Response]] = [
            upstream.ask("shard", method, request, timeout_s=timeout_s)
            for method, request in zip(methods, requests, strict=True)
        ]
        outcomes: list[Response | VitrineError] = []
        for outcome in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(outcome, VitrineError):
                self._refuse(outcome, min_revision)
                _log.warning("shard failed", error=outcome.message, reason=outcome.reason)
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

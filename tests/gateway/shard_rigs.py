"""Sets of shards with replicas, in this process over real gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from prometheus_client import REGISTRY

from services.mesh import vectors
from services.mesh.buckets import bucket_of, shard_of
from tests.gateway.fakes import FakeShard, Fault, hosted, vector_of
from tests.patience import until
from vitrine.v1 import catalog_pb2, vectorsearch_pb2, vectorsearch_pb2_grpc

PRODUCTS = 30


class Copy(FakeShard):
    """A replica; remembers how much time its calls had, and how many were cancelled.

    It takes up no search before `may_begin` says so.
    """

    def __init__(self, shard: int = 0, shards: int = 1) -> None:
        super().__init__(shard, shards)
        self.status_fault = Fault()
        self.remaining_s: list[float] = []
        self.cancelled = 0
        self.may_begin: Callable[[], bool] = lambda: True

    async def SearchVectors(self, request: Any, context: Any) -> vectorsearch_pb2.SearchVectorsResponse:
        self.remaining_s.append(context.time_remaining())
        try:
            await until(self.may_begin)
            return await super().SearchVectors(request, context)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def GetShardStatus(self, request: Any, context: Any) -> vectorsearch_pb2.GetShardStatusResponse:
        await self.status_fault.strike()
        return await super().GetShardStatus(request, context)

    def fill(self, revision: int = PRODUCTS, products: int = PRODUCTS) -> None:
        """Hold its part of the products `p0`, `p1`..., all written by `revision`."""
        self.products.clear()
        changes = (change(number, revision) for number in range(products))
        self.take([each for each in changes if shard_of(each.bucket, self.shards) == self.shard], revision)


class CopySet:
    """The replicas of every shard of a set, and where they are."""

    def __init__(self, copies: list[list[Copy]], targets: list[list[str]]) -> None:
        self.copies = copies
        self.targets = targets

    @property
    def all(self) -> list[Copy]:
        return [copy for shard in self.copies for copy in shard]


def change(number: int, revision: int) -> catalog_pb2.Change:
    product_id = f"p{number}"
    made = catalog_pb2.Change(
        revision=revision, catalog="shop", product_id=product_id, bucket=bucket_of("shop", product_id)
    )
    vector = vectors.encode(vector_of(product_id.encode(), "clip"), space="clip", model_digest="d1")
    made.rows.generation = "g1"
    made.rows.photos.add(photo_id="front", vectors=[vector])
    return made


def search(**fields: Any) -> vectorsearch_pb2.SearchVectorsRequest:
    vector = vectors.encode(vector_of(b"query", "clip"), space="clip", model_digest="d1")
    return vectorsearch_pb2.SearchVectorsRequest(
        **{
            "catalog": "shop",
            "generation": "g1",
            "limit": PRODUCTS,
            "queries": [vectorsearch_pb2.SpaceQuery(vector=vector, weight=1, neutral=0.4)],
            **fields,
        }
    )


def ranked(products: int = PRODUCTS) -> list[str]:
    """What `search` must find among the products `p0`, `p1`..., best first."""
    query = vector_of(b"query", "clip")
    scores = {
        f"p{number}": float(vector_of(f"p{number}".encode(), "clip") @ query) for number in range(products)
    }
    return sorted(scores, key=lambda product_id: (-scores[product_id], product_id))


def counted(name: str, **labels: str) -> float:
    """The present value of a metric."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def copied(shards: int, replicas: int) -> AsyncIterator[CopySet]:
    """A set of shards that serves, every replica filled."""
    service = vectorsearch_pb2.DESCRIPTOR.services_by_name["VectorSearchService"]
    copies = [[Copy(shard, shards) for _ in range(replicas)] for shard in range(shards)]
    async with AsyncExitStack() as stack:
        targets: list[list[str]] = []
        for shard in copies:
            targets.append([])
            for copy in shard:
                copy.fill()
                register = partial(vectorsearch_pb2_grpc.add_VectorSearchServiceServicer_to_server, copy)
                targets[-1].append(await stack.enter_async_context(hosted("vectorsearch", service, register)))
        yield CopySet(copies, targets)


def ids(candidates: Any) -> Sequence[str]:
    return list(candidates.product_ids)

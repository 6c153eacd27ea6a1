"""Callers that ask one search after the other, and what they saw."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from google.protobuf.duration_pb2 import Duration

from benchmarks.gateway.shop import CATALOG
from services.mesh.channel import call, connect
from services.mesh.errors import VitrineError
from vitrine.v1 import search_pb2, search_pb2_grpc

TIMEOUT_S = 30.0

Ask = Callable[[str], Awaitable[search_pb2.SearchResponse]]


@dataclass
class Seen:
    """Latencies in seconds, what of each the stages do not explain, hits of the cache, and errors."""

    latencies_s: list[float] = field(default_factory=list)
    unexplained_s: list[float] = field(default_factory=list)
    hits: int = 0
    errors: list[str] = field(default_factory=list)

    @property
    def hit_ratio(self) -> float:
        """Answers that came from the cache, or from an equal search at the same time."""
        return self.hits / max(1, len(self.latencies_s))


class Searcher:
    """Searches for what is like a product, over gRPC."""

    def __init__(self, server: str, *, staleness_s: int) -> None:
        self._channel = connect(server)
        self._search = search_pb2_grpc.SearchServiceStub(self._channel).Search
        self._staleness = Duration(seconds=staleness_s)

    async def ask(self, product_id: str) -> search_pb2.SearchResponse:
        """One search."""
        request = search_pb2.SearchRequest(
            catalog=f"catalogs/{CATALOG}",
            parts=[search_pb2.QueryPart(product=product_id)],
            max_staleness=self._staleness,
        )
        return await call(self._search, request, timeout_s=TIMEOUT_S)

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()


async def asked(
    ask: Ask, product_ids: Iterable[str], *, callers: int, ends_at_s: float | None = None
) -> Seen:
    """What `callers` saw who took turns at the products, until none is left or the time is over."""
    seen = Seen()
    waiting = iter(product_ids)

    async def caller() -> None:
        # All callers take from the one iterator.
        for product_id in waiting:
            if ends_at_s is not None and time.monotonic() > ends_at_s:
                return
            start_s = time.perf_counter()
            try:
                response = await ask(product_id)
            except VitrineError as error:
                seen.errors.append(str(error))
                continue
            latency_s = time.perf_counter() - start_s
            seen.latencies_s.append(latency_s)
            seen.unexplained_s.append(latency_s - critical_path_s(response))
            seen.hits += response.cache in (
                search_pb2.CACHE_OUTCOME_HIT,
                search_pb2.CACHE_OUTCOME_SHARED,
            )

    await asyncio.gather(*(caller() for _ in range(callers)))
    return seen


def critical_path_s(response: search_pb2.SearchResponse) -> float:
    """The time of an answer's stages, which follow one another: what others took, hops included."""
    return sum(stage.duration_ms for stage in response.stages) / 1e3


def zipf(items: Sequence[str], count: int, *, exponent: float, seed: int) -> list[str]:
    """`count` draws of items, the n-th as often as 1 / n ** exponent."""
    weights = [1 / place**exponent for place in range(1, len(items) + 1)]
    return random.Random(seed).choices(items, weights, k=count)

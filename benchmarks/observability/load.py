"""Searches at a constant rate, whatever the answers take."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration

from benchmarks.observability.processes import CATALOG
from services.mesh import trace
from services.mesh.channel import call
from vitrine.v1 import search_pb2

if TYPE_CHECKING:
    from vitrine.v1 import search_pb2_grpc

TIMEOUT_S = 30.0

_NO_CACHE = Duration()
_COLOURS = ("red", "blue", "green", "black", "white", "pink", "brown", "yellow")
_KINDS = ("shirts", "shoes", "handbags", "dresses", "watches", "jeans")


def parts(product_ids: Sequence[str], *, seed: int) -> Iterator[search_pb2.QueryPart]:
    """A product and a text in turn, for ever; each text another one, which the gateway has no vectors of."""
    products = itertools.cycle(product_ids)
    for number in itertools.count():
        yield search_pb2.QueryPart(product=next(products))
        words = f"{_COLOURS[number % len(_COLOURS)]} {_KINDS[number % len(_KINDS)]} number {seed} {number}"
        yield search_pb2.QueryPart(text=words)


async def searched(
    stub: search_pb2_grpc.SearchServiceAsyncStub,
    asked: Iterator[search_pb2.QueryPart],
    *,
    rate: float,
    duration_s: float,
) -> list[float]:
    """Seconds that each of `rate` searches a second took. Raises the error of one that failed."""
    latencies_s = []

    async def search(part: search_pb2.QueryPart) -> None:
        trace.begin()
        request = search_pb2.SearchRequest(
            catalog=f"catalogs/{CATALOG}", parts=[part], max_staleness=_NO_CACHE
        )
        start_s = time.perf_counter()
        await call(stub.Search, request, timeout_s=TIMEOUT_S)
        latencies_s.append(time.perf_counter() - start_s)

    async with asyncio.TaskGroup() as group:
        start_s = time.perf_counter()
        for number in range(int(rate * duration_s)):
            await asyncio.sleep(max(0.0, start_s + number / rate - time.perf_counter()))
            group.create_task(search(next(asked)))
    return latencies_s

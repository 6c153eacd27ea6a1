"""Prices that change while others search."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from benchmarks.gateway.shop import CATALOG
from vitrine import AsyncClient


@contextlib.asynccontextmanager
async def prices_changing(
    server: str, product_ids: Sequence[str], *, writes_per_s: float
) -> AsyncIterator[list[float]]:
    """Change a price so many times a second meanwhile; yields the times at which one was acknowledged."""
    times_s: list[float] = []
    loop = asyncio.get_running_loop()

    async def write() -> None:
        async with AsyncClient(server, catalog=CATALOG) as client:
            start_s = loop.time()
            for number, product_id in enumerate(itertools.cycle(product_ids)):
                await asyncio.sleep(max(0.0, start_s + number / writes_per_s - loop.time()))
                product = await client.get(product_id)
                attributes = {**product.attributes, "price": float(number % 900 + 10)}
                await client.upsert([replace(product, attributes=attributes, photos=())])
                times_s.append(loop.time())

    task = asyncio.create_task(write())
    try:
        yield times_s
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

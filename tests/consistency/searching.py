"""Callers who search without a pause and hold every answer to what it must be."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from tests.consistency.calls import Gateway, looks_like
from vitrine.v1 import search_pb2

PATIENCE_S = 300.0
_PAUSE_S = 0.02

Check = Callable[[int, search_pb2.SearchResponse], None]
"""Looks at the answer to a search for a picture of that number; an AssertionError when it is wrong."""


class Searchers:
    """One caller a gateway. `seen` counts by gateway, in order, what each answer was like."""

    def __init__(
        self, gateways: Sequence[Gateway], catalog: str, check: Check, pictures: Sequence[int]
    ) -> None:
        self._gateways = gateways
        self._catalog = catalog
        self._check = check
        self._pictures = pictures
        self.seen: list[Counter[str]] = [Counter() for _ in gateways]

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Search meanwhile; an error, or a wrong answer, fails the test."""
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for gateway, seen in zip(self._gateways, self.seen, strict=True):
                group.create_task(self._search(gateway, seen, stopping))
            try:
                yield
            finally:
                stopping.set()

    async def more(self, count: int, *, like: str = "") -> None:
        """Return when each gateway has given so many more answers, of one kind if asked for."""
        before = [self._count(seen, like) for seen in self.seen]
        async with asyncio.timeout(PATIENCE_S):
            while any(  # noqa: ASYNC110 - what is looked at knows no events
                self._count(seen, like) < start + count for seen, start in zip(self.seen, before, strict=True)
            ):
                await asyncio.sleep(_PAUSE_S)

    @staticmethod
    def _count(seen: Counter[str], like: str) -> int:
        return seen[like] if like else seen["answers"]

    async def _search(self, gateway: Gateway, seen: Counter[str], stopping: asyncio.Event) -> None:
        for turn in itertools.count():
            if stopping.is_set():
                return
            picture = self._pictures[turn % len(self._pictures)]
            # What is stored of the last two seconds is good enough for every third caller.
            request = looks_like(self._catalog, picture, staleness_s=0.0 if turn % 3 else 2.0)
            response = await gateway.search(request)
            self._check(picture, response)
            seen["answers"] += 1
            seen[response.generation] += 1
            seen["degraded" if response.degraded else "whole"] += 1
            await asyncio.sleep(_PAUSE_S)

"""Callers who search at a steady rate, and how their calls went."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.mesh.errors import DeadlineExceeded, VitrineError
from vitrine.client.asynchronous import AsyncClient
from vitrine.client.results import SearchResults

Query = dict[str, Any]
Draw = Callable[[random.Random], Query]
"""Draws the arguments of one search."""


@dataclass
class Calls:
    """How the calls of one phase went.

    `failures` counts errors by kind and message, `late` calls that took longer than their deadline,
    `degraded` answers that lack something, `reasons` why, `caches` what the result cache had to do with them.
    """

    latencies_s: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    late: int = 0
    degraded: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    caches: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        """Calls that have ended."""
        return len(self.latencies_s)

    @property
    def failed(self) -> int:
        """Calls that ended with an error."""
        return self.failures.total()


# A caller whose calls take that long begins no more of them.
_MOST_AT_ONCE = 16


class Callers:
    """Calls of one client, so and so many a second as long as few are waiting for their answer."""

    def __init__(self, client: AsyncClient, draw: Draw, *, per_s: float, seed: int = 7) -> None:
        self._client = client
        self._draw = draw
        self._period_s = 1 / per_s
        self._chance = random.Random(seed)
        self._room = asyncio.Semaphore(_MOST_AT_ONCE)

    async def call(self, calls: Calls, is_enough: Callable[[], bool]) -> None:
        """Call until it is enough; all calls have ended when this returns."""
        due_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while not is_enough():
                await self._room.acquire()
                group.create_task(self._one(calls, self._draw(self._chance)))
                # What there was no room for is not made up for.
                due_s = max(due_s + self._period_s, time.monotonic())
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))

    async def _one(self, calls: Calls, query: Query) -> None:
        start_s = time.monotonic()
        is_late = False
        try:
            self._note(calls, await self._client.search(**query))
        except VitrineError as error:
            calls.failures[f"{type(error).__name__}: {error.message}"] += 1
            is_late = isinstance(error, DeadlineExceeded)
        finally:
            self._room.release()
        took_s = time.monotonic() - start_s
        calls.latencies_s.append(took_s)
        calls.late += is_late or took_s > self._client.timeouts.read_s

    @staticmethod
    def _note(calls: Calls, results: SearchResults) -> None:
        calls.caches[results.cache] += 1
        calls.reasons.update(results.degraded)
        calls.degraded += bool(results.degraded)


def mixed(
    products: Sequence[str], photos: Sequence[bytes], words: Sequence[str], *, photo_share: float
) -> Draw:
    """Searches by product, by text and by photo, which are never stored.

    Half of those by product or text may be answered from the cache; the other texts were never asked before,
    so that they have to be embedded. Without `words` there are none by text.
    """

    def draw(chance: random.Random) -> Query:
        if chance.random() < photo_share:
            return {"image": chance.choice(photos), "max_staleness_s": 0.0}
        may_be_stored = chance.random() < 0.5
        if words and chance.random() < 0.5:
            text = chance.choice(words)
            return {"text": text if may_be_stored else f"{text} {chance.getrandbits(32)}"}
        product = {"product": chance.choice(products)}
        return product if may_be_stored else product | {"max_staleness_s": 0.0}

    return draw

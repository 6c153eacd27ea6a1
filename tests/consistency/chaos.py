"""Random ends of random processes."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence

from tests.consistency.processes import Forgetful, Part

MAX_DOWN = 2


async def wreak(parts: Sequence[Part], *, seconds: float, chance: random.Random) -> Counter[str]:
    """Kill and start parts for some time, two at most being away at once; all are at work when it returns.

    How often each was killed. One shard in three loses its disk.
    """
    kills: Counter[str] = Counter()
    busy: set[str] = set()

    async def strike(part: Part) -> None:
        busy.add(part.name)
        if isinstance(part, Forgetful):
            part.loses = lambda: chance.random() < 1 / 3
        await part.kill()
        kills[part.name] += 1
        await asyncio.sleep(chance.uniform(0, 1))
        await part.start()
        # It has some time to be of use.
        await asyncio.sleep(chance.uniform(0, 0.5))
        busy.discard(part.name)

    ends_at_s = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        while time.monotonic() < ends_at_s:
            await asyncio.sleep(chance.uniform(0.2, 1.5))
            ready = [part for part in parts if part.name not in busy]
            if len(busy) < MAX_DOWN and ready:
                group.create_task(strike(chance.choice(ready)))
    return kills

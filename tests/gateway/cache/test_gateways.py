from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from tests.engines import redis
from tests.gateway.fakes import photo
from tests.gateway.rigs import ids, image, rigged
from vitrine.v1 import search_pb2

OLD_ENOUGH = Duration(seconds=600)


async def holds(server: redis.RedisServer, count: int) -> None:
    """Wait until so many values are in Redis."""
    deadline = time.monotonic() + 60
    while server.command("DBSIZE") != b":%d\r\n" % count:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


@pytest.mark.faults
async def test_redis_costs_speed_alone(tmp_path: Path, own_redis: redis.RedisServer) -> None:
    """What one gateway has answered another need not search for; without Redis both answer as before."""
    shared: dict[str, Any] = {"cache_url": own_redis.url, "cache_timeout_s": 60.0}
    async with rigged(tmp_path / "a", **shared) as ours, rigged(tmp_path / "b", **shared) as theirs:
        for rig in (ours, theirs):
            await rig.fill(4)
        embedded = theirs.embedder.images
        fresh = await ours.search(image(photo(1)))
        # The vectors of the photo, and the answer.
        await holds(own_redis, 2)
        again = await theirs.search(image(photo(1)), max_staleness=OLD_ENOUGH)
        assert again.cache == search_pb2.CACHE_OUTCOME_HIT
        assert ids(again) == ids(fresh)
        await theirs.search(image(photo(1)), k=2)
        assert theirs.embedder.images == embedded
        own_redis.kill()
        for number in (1, 2, 3):
            answers = [await rig.search(image(photo(number))) for rig in (ours, theirs)]
            assert ids(answers[0]) == ids(answers[1])
            assert not any(answer.degraded for answer in answers)
        assert theirs.embedder.images > embedded

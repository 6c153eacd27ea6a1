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
from vitrine.v1 import search_pb2, status_pb2

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


@pytest.mark.faults
async def test_the_status_tells_of_redis(tmp_path: Path, own_redis: redis.RedisServer) -> None:
    """A gateway with a Redis tells whether it answers, and what was looked for there."""
    async with rigged(tmp_path, cache_url=own_redis.url, cache_timeout_s=60.0) as rig:
        await rig.fill(2)
        await rig.search(image(photo(1)))
        told = await rig.gateway.status.get_status(status_pb2.GetStatusRequest())
        assert [each.name for each in told.dependencies] == ["embedder", "ranker", "store", "redis"]
        assert [each.problem for each in told.dependencies] == [""] * 4
        assert {(each.layer, each.kind) for each in told.cache_lookups} >= {
            ("redis", "answer"),
            ("redis", "vector"),
        }

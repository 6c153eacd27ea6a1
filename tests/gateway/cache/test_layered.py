from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from services.gateway.cache.interface import Cache
from services.gateway.cache.opening import opened
from tests.engines import redis
from tests.gateway.cache_suite import CacheSuite


@pytest.fixture
async def gateways(own_redis: redis.RedisServer) -> AsyncIterator[list[Cache]]:
    """The caches of two gateways on one Redis."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                opened(max_bytes=1 << 20, url=own_redis.url, namespace="test", timeout_s=60)
            )
            for _ in range(2)
        ]


@pytest.fixture
async def cache(shared_redis: redis.RedisServer) -> AsyncIterator[Cache]:
    namespace = secrets.token_hex(8)
    async with opened(max_bytes=1 << 20, url=shared_redis.url, namespace=namespace, timeout_s=60) as made:
        yield made


class TestLayered(CacheSuite):
    pass


async def found(cache: Cache, key: bytes, *, max_age_s: Callable[[], float] = lambda: 600.0) -> bytes:
    """What is under a key, as soon as something is."""
    async with asyncio.timeout(60):
        while True:
            value = await cache.get(key, max_age_s=max_age_s())
            if value is not None:
                return value
            await asyncio.sleep(0.01)


async def test_gateways_share_what_they_have(gateways: list[Cache]) -> None:
    """What one gateway has put another finds."""
    ours, theirs = gateways
    await ours.put(b"k", b"v", ttl_s=600)
    assert await found(theirs, b"k") == b"v"


async def test_memory_keeps_what_redis_had(gateways: list[Cache], own_redis: redis.RedisServer) -> None:
    """What was found in Redis is found again without it, and is as old as it is."""
    ours, theirs = gateways
    await ours.put(b"k", b"v", ttl_s=600)
    await asyncio.sleep(0.05)
    await found(theirs, b"k")
    own_redis.kill()
    assert await theirs.get(b"k", max_age_s=600) == b"v"
    assert await theirs.get(b"k", max_age_s=0.04) is None


async def test_a_younger_value_is_taken_from_redis(gateways: list[Cache]) -> None:
    """What is too old in memory is looked for in Redis, where another gateway may have put a newer one."""
    ours, theirs = gateways
    await ours.put(b"k", b"old", ttl_s=600)
    assert await found(theirs, b"k") == b"old"
    old_since_s = time.time()
    await asyncio.sleep(0.05)
    await ours.put(b"k", b"new", ttl_s=600)
    # The old value is older than that however long this takes.
    assert await found(theirs, b"k", max_age_s=lambda: 0.9 * (time.time() - old_since_s)) == b"new"

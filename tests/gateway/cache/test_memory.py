from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.cache.memory import OVERHEAD_BYTES, MemoryCache
from tests.gateway.cache_suite import CacheSuite


@pytest.fixture
def cache() -> MemoryCache:
    return MemoryCache(1 << 20)


class TestMemory(CacheSuite):
    pass


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 400), st.booleans()), max_size=60))
def test_it_never_holds_more_than_allowed(steps: list[tuple[int, int, bool]]) -> None:
    """However it is used, its size is that of what it holds and within the bound."""

    async def run() -> None:
        cache = MemoryCache(3 * OVERHEAD_BYTES)
        for key, size, is_read in steps:
            if is_read:
                await cache.get(bytes([key]), max_age_s=10)
            else:
                await cache.put(bytes([key]), bytes(size), ttl_s=10)
            assert cache.size_bytes <= 3 * OVERHEAD_BYTES
            held = [await cache.get(bytes([each]), max_age_s=10) for each in range(10)]
            assert cache.size_bytes == sum(len(each) + OVERHEAD_BYTES for each in held if each is not None)

    asyncio.run(run())


async def test_the_least_used_goes_first() -> None:
    """What was read lately stays when there is no room for all."""
    cache = MemoryCache(2 * (OVERHEAD_BYTES + 1))
    await cache.put(b"a", b"1", ttl_s=10)
    await cache.put(b"b", b"1", ttl_s=10)
    await cache.get(b"a", max_age_s=10)
    await cache.put(b"c", b"1", ttl_s=10)
    assert await cache.get(b"b", max_age_s=10) is None
    assert await cache.get(b"a", max_age_s=10) == b"1"
    await cache.put(b"large", bytes(10_000), ttl_s=10)
    assert await cache.get(b"a", max_age_s=10) == b"1"

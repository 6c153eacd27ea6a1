from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from services.gateway.cache.interface import Kept
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
    await cache.put(b"a", b"1", ttl_s=600)
    await cache.put(b"b", b"1", ttl_s=600)
    await cache.get(b"a", max_age_s=600)
    await cache.put(b"c", b"1", ttl_s=600)
    assert await cache.get(b"b", max_age_s=600) is None
    assert await cache.get(b"a", max_age_s=600) == b"1"
    await cache.put(b"large", bytes(10_000), ttl_s=600)
    assert await cache.get(b"a", max_age_s=600) == b"1"


async def test_a_value_of_another_cache_keeps_its_age() -> None:
    """What another cache had is as old here as it was there, and ends when it would have ended there."""
    now_s = 100.0
    cache = MemoryCache(1 << 20, clock=lambda: now_s)
    cache.keep(b"k", Kept(b"v", age_s=3.0, left_s=2.0, cost_s=0.0))
    assert await cache.get(b"k", max_age_s=2.9) is None
    assert await cache.get(b"k", max_age_s=3.0) == b"v"
    now_s = 102.0
    assert await cache.get(b"k", max_age_s=60.0) is None
    assert cache.size_bytes == 0


async def test_what_it_does_is_counted() -> None:
    """Hits, misses and what hits saved are counted by kind; so is what had to leave, and what is held."""
    before = {name: sample(name, **labels) for name, labels in COUNTED.items()}
    cache = MemoryCache(2 * (OVERHEAD_BYTES + 1))
    await cache.put(b"a", b"1", ttl_s=600, cost_s=0.5)
    await cache.get(b"a", max_age_s=600, kind="vector")
    await cache.get(b"a", max_age_s=600, kind="vector")
    await cache.get(b"none", max_age_s=600)
    for key in (b"b", b"c", b"d"):
        await cache.put(key, b"1", ttl_s=600)
    grown = {name: sample(name, **labels) - before[name] for name, labels in COUNTED.items()}
    assert grown == {
        "vitrine_gateway_cache_lookups_total": 2,
        "vitrine_gateway_cache_saved_seconds_total": 1.0,
        "vitrine_gateway_cache_evictions_total": 2,
    }
    assert sample("vitrine_gateway_cache_bytes") == cache.size_bytes


COUNTED = {
    "vitrine_gateway_cache_lookups_total": {"layer": "memory", "kind": "vector", "outcome": "hit"},
    "vitrine_gateway_cache_saved_seconds_total": {"layer": "memory", "kind": "vector"},
    "vitrine_gateway_cache_evictions_total": {},
}


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0

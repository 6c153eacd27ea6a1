from __future__ import annotations

from services.gateway import metrics, tallies
from services.gateway.cache.counting import LookupCounter
from services.gateway.cache.memory import OVERHEAD_BYTES, MemoryCache
from vitrine.v1 import status_pb2


def lookups(layer: str, kind: str) -> status_pb2.CacheLookups:
    [found] = [each for each in tallies.cache_lookups() if (each.layer, each.kind) == (layer, kind)]
    return found


def test_searches_are_counted_by_what_became_of_them() -> None:
    """Every outcome has a count, from zero on."""
    metrics.declare()
    before = tallies.searches()
    metrics.CACHE.labels("hit").inc(3)
    metrics.CACHE.labels("bypass").inc()
    after = tallies.searches()
    assert (after.hit - before.hit, after.bypass - before.bypass, after.miss - before.miss) == (3, 1, 0)


def test_lookups_are_counted_by_layer_and_kind() -> None:
    """What was found, missed, failed and skipped is told apart, with the time that finding it has saved."""
    counter = LookupCounter("redis")
    before = lookups("redis", "vector")
    counter.hit("vector", 1.5)
    counter.hit("vector", 0.25)
    counter.missed("vector")
    counter.failed("vector")
    counter.skipped("vector")
    counter.missed("answer")
    after = lookups("redis", "vector")
    assert (after.hit - before.hit, after.miss - before.miss) == (2, 1)
    assert (after.failed - before.failed, after.skipped - before.skipped) == (1, 1)
    assert after.saved_s - before.saved_s == 1.75


async def test_the_bytes_of_the_cache() -> None:
    """What the memory holds now is told."""
    cache = MemoryCache(1 << 20)
    await cache.put(b"key", b"x" * 1_000, ttl_s=60)
    assert tallies.cache_bytes() == 1_000 + OVERHEAD_BYTES

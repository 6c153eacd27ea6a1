"""The cache that a gateway's settings ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.gateway.cache.interface import Cache
from services.gateway.cache.layered import LayeredCache
from services.gateway.cache.memory import MemoryCache
from services.gateway.cache.redis import RedisCache


@asynccontextmanager
async def opened(*, max_bytes: int, url: str, namespace: str, timeout_s: float) -> AsyncIterator[Cache]:
    """Memory of `max_bytes`, in front of the Redis of `url` unless that is empty."""
    memory = MemoryCache(max_bytes)
    if not url:
        yield memory
        return
    redis = RedisCache(url, namespace=namespace, timeout_s=timeout_s)
    try:
        yield LayeredCache(memory, redis)
    finally:
        await redis.close()

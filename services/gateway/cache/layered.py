"""The memory of this process in front of what gateways share."""

from __future__ import annotations

from services.gateway.cache.interface import Kind
from services.gateway.cache.memory import MemoryCache
from services.gateway.cache.redis import RedisCache


class LayeredCache:
    """A `Cache`: memory is asked first and takes what Redis has, with its age; no put waits for Redis."""

    def __init__(self, memory: MemoryCache, redis: RedisCache) -> None:
        self._memory = memory
        self._redis = redis

    async def get(self, key: bytes, *, max_age_s: float, kind: Kind = "answer") -> bytes | None:
        """See Cache."""
        value = await self._memory.get(key, max_age_s=max_age_s, kind=kind)
        if value is not None:
            return value
        kept = await self._redis.find(key, max_age_s=max_age_s, kind=kind)
        if kept is None:
            return None
        self._memory.keep(key, kept)
        return kept.value

    async def ping(self) -> None:
        """As `RedisCache.ping`."""
        await self._redis.ping()

    async def put(self, key: bytes, value: bytes, *, ttl_s: float, cost_s: float = 0.0) -> None:
        """See Cache."""
        await self._memory.put(key, value, ttl_s=ttl_s, cost_s=cost_s)
        self._redis.put_soon(key, value, ttl_s=ttl_s, cost_s=cost_s)

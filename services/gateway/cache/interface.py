"""What a cache must do, whatever is behind it."""

from __future__ import annotations

from typing import Protocol


class Cache(Protocol):
    """Bytes by key, for a while. It never fails: a cache that is away has nothing and takes nothing."""

    async def get(self, key: bytes, *, max_age_s: float) -> bytes | None:
        """What was put under a key within the last `max_age_s` seconds."""

    async def put(self, key: bytes, value: bytes, *, ttl_s: float) -> None:
        """Keep a value for at most `ttl_s` seconds."""

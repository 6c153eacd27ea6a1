"""What every cache must do. A test module subclasses `CacheSuite` and gives it a `cache` fixture."""

from __future__ import annotations

import asyncio
import random

from services.gateway.cache.interface import Cache


class CacheSuite:
    async def test_what_was_put_is_there(self, cache: Cache) -> None:
        """A value is found under its key, the last one put, and nothing under others."""
        assert await cache.get(b"k", max_age_s=600) is None
        await cache.put(b"k", b"one", ttl_s=600)
        await cache.put(b"k", b"two", ttl_s=600)
        await cache.put(b"empty", b"", ttl_s=600)
        assert await cache.get(b"k", max_age_s=600) == b"two"
        assert await cache.get(b"empty", max_age_s=600) == b""
        assert await cache.get(b"other", max_age_s=600) is None

    async def test_any_bytes_will_do(self, cache: Cache) -> None:
        """Keys and values are bytes of any kind, and large values come back whole."""
        rng = random.Random(3)
        records = {rng.randbytes(size): rng.randbytes(100 * size) for size in (1, 16, 64, 999)}
        records |= {b"\r\n$5\r\n": b"*1\r\n\x00", b" ": b"{"}
        for key, value in records.items():
            await cache.put(key, value, ttl_s=600)
        for key, value in records.items():
            assert await cache.get(key, max_age_s=600) == value

    async def test_many_at_once_are_kept_apart(self, cache: Cache) -> None:
        """However many put and get at once, each finds what is its own."""

        async def use(index: int) -> None:
            key = b"key-%d" % index
            for turn in range(5):
                value = b"%d-%d" % (index, turn) * (1 + index)
                await cache.put(key, value, ttl_s=600)
                assert await cache.get(key, max_age_s=600, kind="vector") == value

        await asyncio.gather(*(use(index) for index in range(50)))

    async def test_age_is_the_readers_choice(self, cache: Cache) -> None:
        """A reader takes nothing older than it allows; the value stays for others."""
        await cache.put(b"k", b"v", ttl_s=600)
        await asyncio.sleep(0.05)
        assert await cache.get(b"k", max_age_s=0.01) is None
        assert await cache.get(b"k", max_age_s=600) == b"v"

    async def test_values_end(self, cache: Cache) -> None:
        """A value is gone when its time is over, whoever asks."""
        await cache.put(b"k", b"v", ttl_s=0.05)
        await cache.put(b"never", b"v", ttl_s=0)
        assert await cache.get(b"never", max_age_s=600) is None
        await asyncio.sleep(0.1)
        assert await cache.get(b"k", max_age_s=600) is None

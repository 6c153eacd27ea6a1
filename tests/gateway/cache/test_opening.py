from __future__ import annotations

import pytest
from pydantic import SecretStr

from services.gateway.cache.memory import MemoryCache
from services.gateway.cache.opening import opened
from services.gateway.settings import GatewaySettings


async def test_without_a_url_memory_is_all() -> None:
    """A gateway without Redis has a cache of its own."""
    async with opened(max_bytes=1 << 20, url="", namespace="test", timeout_s=60) as cache:
        assert isinstance(cache, MemoryCache)
        await cache.put(b"k", b"v", ttl_s=600)
        assert await cache.get(b"k", max_age_s=600) == b"v"


@pytest.mark.parametrize(
    "url", ["redis://:pass@127.0.0.1:1/1", "rediss://127.0.0.1:1", "unix:///nowhere/redis"]
)
async def test_a_url_is_enough(url: str) -> None:
    """Every form of URL is understood, and a Redis that is not there stops no gateway from starting."""
    settings = GatewaySettings(cache_url=SecretStr(url))
    url = settings.cache_url.get_secret_value()
    async with opened(max_bytes=1 << 20, url=url, namespace="test", timeout_s=60) as cache:
        await cache.get(b"k", max_age_s=600)


@pytest.mark.parametrize("url", ["http://cache", "cache:6379", "redis://:secret/word@cache:6379"])
def test_a_wrong_url_is_refused(url: str) -> None:
    """A URL that is none stops the gateway, and nothing of it is told."""
    with pytest.raises(ValueError, match="is not a URL") as refused:
        GatewaySettings(cache_url=SecretStr(url))
    assert "secret" not in str(refused.value)

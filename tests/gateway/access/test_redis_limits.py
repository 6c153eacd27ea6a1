from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from services.gateway.access import redis_limits
from services.gateway.access.redis_limits import RedisLimiter
from tests.engines import redis
from tests.engines.redis import RedisServer
from tests.gateway.access.stores import Clock

TIMEOUT_S = 60.0
# Too slow a rate for a bucket to fill while a test runs: only what is in it at first is given.
RATE_PER_S = 0.01


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis.running(tmp_path_factory.mktemp("redis")) as running:
        yield running


@asynccontextmanager
async def limiter(
    server: RedisServer | redis.Delay, namespace: str, timeout_s: float = TIMEOUT_S
) -> AsyncIterator[RedisLimiter]:
    made = RedisLimiter(server.url, namespace=namespace, timeout_s=timeout_s)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
def namespace() -> str:
    return secrets.token_hex(4)


def counts_alone(limiter: RedisLimiter) -> bool:
    return limiter._breaker.is_open


async def let_in(limiters: list[RedisLimiter], rate_per_s: float, requests: int) -> int:
    """How many of so many requests of one caller are let in, when gateways take turns."""
    waits = [await limiters[number % len(limiters)].take("a", rate_per_s) for number in range(requests)]
    return waits.count(0.0)


async def test_gateways_share_a_bucket(server: RedisServer, namespace: str) -> None:
    """What one gateway lets in is missing in the other's bucket."""
    async with limiter(server, namespace) as one, limiter(server, namespace) as other:
        assert await one.take("a", RATE_PER_S) == 0
        assert await other.take("a", RATE_PER_S) > 0
        assert await other.take("b", RATE_PER_S) == 0


async def test_deployments_do_not(server: RedisServer, namespace: str) -> None:
    """Another namespace is another bucket."""
    async with limiter(server, namespace) as one, limiter(server, f"{namespace}-2") as other:
        assert await one.take("a", RATE_PER_S) == 0
        assert await other.take("a", RATE_PER_S) == 0


async def test_the_wait_is_exact(server: RedisServer, namespace: str) -> None:
    """Who is refused is told when there is room, to the time that the call took."""
    async with limiter(server, namespace) as one:
        start_s = time.monotonic()
        assert await one.take("a", RATE_PER_S) == 0
        wait_s = await one.take("a", RATE_PER_S)
        assert 100 - (time.monotonic() - start_s) <= wait_s <= 100


async def test_refusals_do_not_ask_redis(server: RedisServer, namespace: str) -> None:
    """Who is refused is refused from memory until there is room."""
    async with limiter(server, namespace) as one:
        assert await let_in([one], RATE_PER_S, 2) == 1
        asked = _calls(server)
        assert await let_in([one], RATE_PER_S, 1_000) == 0
        assert _calls(server) == asked


def _calls(server: RedisServer) -> int:
    """How often the script was run, as Redis tells it."""
    told = re.search(rb"cmdstat_evalsha:calls=(\d+)", server.command("INFO", "commandstats"))
    return int(told.group(1)) if told else 0


async def test_a_busy_caller_costs_few_calls(server: RedisServer, namespace: str) -> None:
    """Room for several requests is taken at once, and all of it is given out and no more."""
    rate_per_s = 400.0
    async with limiter(server, namespace) as one, limiter(server, namespace) as other:
        start_s = time.monotonic()
        taken = await let_in([one, other], rate_per_s, 3_000)
        seconds = time.monotonic() - start_s
    # What is left in the hands of the other gateway may be missing.
    assert 800 - 40 <= taken <= 800 + rate_per_s * seconds + 1


async def test_many_at_once_get_what_there_is(
    server: RedisServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests that come together are let in up to the burst, and wait for one call of Redis together."""
    # Twenty at once, and no other for so long that none comes in between.
    monkeypatch.setattr(
        redis_limits, "Allowance", lambda _: SimpleNamespace(interval_s=60, tolerance_s=1_140)
    )
    async with limiter(server, namespace) as one:
        before = _calls(server)
        waits = await asyncio.gather(*(one.take("a", 10.0) for _ in range(60)))
        asked = _calls(server)
    assert waits.count(0.0) == 20
    assert asked - before <= 3


async def test_a_slow_redis_lifts_no_limit(server: RedisServer, namespace: str) -> None:
    """Where there is room for few again at each answer, those for whom there was none are refused."""
    delay = redis.Delay(server.port)
    delay.delay_s = 0.15
    async with delay.listening(), limiter(delay, namespace) as one:
        start_s = time.monotonic()
        waits = await asyncio.gather(*(one.take("a", 10.0) for _ in range(60)))
        seconds = time.monotonic() - start_s
        assert 20 <= waits.count(0.0) <= 20 + 10 * seconds + 1


async def test_without_redis_each_gateway_counts() -> None:
    """A Redis that cannot be reached neither fails a request nor lifts the limit."""
    away = RedisLimiter("redis://127.0.0.1:1/0", namespace="n", timeout_s=TIMEOUT_S)
    try:
        assert await let_in([away], RATE_PER_S, 100) == 1
    finally:
        await away.close()


class TestFaults:
    @pytest.fixture
    def own(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
        with redis.running(tmp_path_factory.mktemp("redis")) as running:
            yield running

    async def test_a_redis_that_stands_still_costs_one_timeout(self, own: RedisServer) -> None:
        """While Redis does not answer, one request waits for it and the others do not."""
        async with limiter(own, "n", timeout_s=0.05) as one:
            own.pause()
            try:
                assert await let_in([one], RATE_PER_S, 1_000) == 1
                assert counts_alone(one)
            finally:
                own.resume()

    async def test_a_restarted_redis_is_used_again(self, own: RedisServer) -> None:
        """After a restart, which loses buckets and scripts, limits are shared again."""
        clock = Clock()
        made = RedisLimiter(own.url, namespace="n", timeout_s=TIMEOUT_S, clock=clock)
        try:
            assert await made.take("a", RATE_PER_S) == 0
            own.kill()
            assert await made.take("b", RATE_PER_S) == 0
            assert counts_alone(made)
            own.start()
            clock.now_s += 30
            assert await made.take("c", RATE_PER_S) == 0
            assert not counts_alone(made)
            async with limiter(own, "n") as other:
                assert await other.take("c", RATE_PER_S) > 0
        finally:
            await made.close()

    async def test_who_leaves_disturbs_nobody(self, own: RedisServer) -> None:
        """Requests whose callers leave while Redis is asked do not mix up the answers of others."""
        async with limiter(own, "n") as one:
            for number in range(50):
                leaving = asyncio.create_task(one.take(f"empty-{number % 2}", RATE_PER_S))
                await asyncio.sleep(0)
                leaving.cancel()
                assert await one.take(f"full-{number}", RATE_PER_S) == 0
                await asyncio.gather(leaving, return_exceptions=True)
            assert await one.take("empty-0", RATE_PER_S) > 0

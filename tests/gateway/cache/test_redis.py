from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator

import pytest
from prometheus_client import REGISTRY

from services.gateway import metrics
from services.gateway.cache import breaker
from services.gateway.cache.redis import MAX_VALUE_BYTES, RedisCache
from services.mesh.errors import Unavailable
from tests.engines import redis
from tests.gateway.cache_suite import CacheSuite
from tests.patience import until

# Of tests that are about values: a machine that stands still is no fault of Redis.
PATIENT_S = 60.0
# Of tests that are about a Redis that does not answer.
SHORT_S = 0.05


@pytest.fixture
async def cache(shared_redis: redis.RedisServer) -> AsyncIterator[RedisCache]:
    made = RedisCache(shared_redis.url, namespace=secrets.token_hex(8), timeout_s=PATIENT_S)
    yield made
    await made.close()


@pytest.fixture
async def impatient(own_redis: redis.RedisServer) -> AsyncIterator[RedisCache]:
    made = RedisCache(own_redis.url, namespace="test", timeout_s=SHORT_S)
    yield made
    await made.close()


@pytest.fixture(autouse=True)
def _at_work() -> None:
    """No cache of another test rests."""
    for direction in ("read", "write"):
        metrics.CACHE_RESTING.labels(direction).set(0)


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "FIRST_S", 0.05)
    monkeypatch.setattr(breaker, "LONGEST_S", 0.1)


class TestRedis(CacheSuite):
    pass


def looked_up(outcome: str) -> float:
    labels = {"layer": "redis", "kind": "answer", "outcome": outcome}
    return REGISTRY.get_sample_value("vitrine_gateway_cache_lookups_total", labels) or 0.0


def saved_s() -> float:
    labels = {"layer": "redis", "kind": "answer"}
    return REGISTRY.get_sample_value("vitrine_gateway_cache_saved_seconds_total", labels) or 0.0


def resting(direction: str) -> float | None:
    return REGISTRY.get_sample_value("vitrine_gateway_cache_resting", {"direction": direction})


async def works(cache: RedisCache) -> None:
    """Return once what is put is found again."""
    deadline = time.monotonic() + 60
    while True:
        await cache.put(b"again", b"v", ttl_s=600)
        if await cache.get(b"again", max_age_s=600) == b"v":
            return
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def spent(cache: RedisCache, count: int) -> tuple[float, float]:
    """Look for something `count` times, in vain: how many of them waited for Redis, and seconds in all."""
    began_s, failed = time.monotonic(), looked_up("failed")
    for _ in range(count):
        await cache.put(b"k", b"v", ttl_s=600)
        assert await cache.get(b"k", max_age_s=600) is None
    return looked_up("failed") - failed, time.monotonic() - began_s


async def test_values_are_shared_and_namespaces_are_not(shared_redis: redis.RedisServer) -> None:
    """What one gateway puts another finds; a deployment of another namespace does not."""
    name = secrets.token_hex(8)
    ours, theirs, others = (
        RedisCache(shared_redis.url, namespace=namespace, timeout_s=PATIENT_S)
        for namespace in (name, name, name + "x")
    )
    await ours.put(b"k", b"v", ttl_s=600)
    assert await theirs.get(b"k", max_age_s=600) == b"v"
    assert await others.get(b"k", max_age_s=600) is None
    for each in (ours, theirs, others):
        await each.close()


async def test_a_hit_saves_what_the_value_took(cache: RedisCache) -> None:
    """What a value took to make is kept with it, and counted as saved on each hit."""
    before_s = saved_s()
    await cache.put(b"k", b"v", ttl_s=600, cost_s=0.25)
    for _ in range(3):
        await cache.get(b"k", max_age_s=600)
    await cache.get(b"other", max_age_s=600)
    assert saved_s() - before_s == pytest.approx(0.75)


async def test_large_values_are_left_out(cache: RedisCache) -> None:
    """A value beyond the limit is not sent."""
    await cache.put(b"k", bytes(MAX_VALUE_BYTES + 1), ttl_s=600)
    assert await cache.get(b"k", max_age_s=600) is None
    await cache.put(b"k", bytes(MAX_VALUE_BYTES), ttl_s=600)
    assert await cache.get(b"k", max_age_s=600) == bytes(MAX_VALUE_BYTES)


async def test_foreign_values_are_none(shared_redis: redis.RedisServer) -> None:
    """What somebody else has written under a name of ours is not taken for an answer."""
    cache = RedisCache(shared_redis.url, namespace="foreign", timeout_s=PATIENT_S)
    shared_redis.command("SET", "foreign:cache:1:k", "nonsense")
    shared_redis.command("RPUSH", "foreign:cache:1:list", "nonsense")
    assert await cache.get(b"k", max_age_s=600) is None
    assert await cache.get(b"list", max_age_s=600) is None
    await cache.close()


async def test_callers_who_leave_mix_up_nothing(shared_redis: redis.RedisServer) -> None:
    """However many callers are cancelled while they read, everybody else gets what is theirs."""
    rng = random.Random(11)
    delay = redis.Delay(shared_redis.port)
    async with delay.listening():
        cache = RedisCache(delay.url, namespace=secrets.token_hex(8), timeout_s=PATIENT_S)
        for index in range(100):
            await cache.put(b"%d" % index, b"value of %d" % index, ttl_s=600)
        delay.delay_s = 0.001
        left = 0
        for _ in range(40):
            asked = rng.choices(range(100), k=24)
            reads = [asyncio.create_task(cache.get(b"%d" % index, max_age_s=600)) for index in asked]
            leaving = rng.sample(range(24), 12)
            for turn, place in enumerate(leaving):
                # The first of them leave before Redis can have answered.
                await asyncio.sleep(rng.choice((0, 0, 0.0005, 0.001)) if turn > 2 else 0)
                reads[place].cancel()
            found = await asyncio.gather(*reads, return_exceptions=True)
            left += sum(isinstance(each, asyncio.CancelledError) for each in found)
            for place, (index, value) in enumerate(zip(asked, found, strict=True)):
                if place not in leaving:
                    assert value == b"value of %d" % index
        assert left > 100
        await cache.close()


@pytest.mark.faults
async def test_one_that_was_killed_costs_no_error(own_redis: redis.RedisServer, quick_retries: None) -> None:
    """A Redis that is gone has nothing, is asked seldom, and is used again once it is back."""
    cache = RedisCache(own_redis.url, namespace="test", timeout_s=SHORT_S)
    await works(cache)
    own_redis.kill()
    failures, took_s = await spent(cache, 200)
    assert 1 <= failures <= 2 + took_s / (breaker.FIRST_S * (1 - breaker.JITTER))
    assert resting("read") == 1
    own_redis.start()
    await works(cache)
    assert resting("read") == 0
    await cache.close()


@pytest.mark.faults
async def test_one_that_stands_still_costs_a_timeout_a_second(
    own_redis: redis.RedisServer, impatient: RedisCache
) -> None:
    """Of many searches while Redis stands still, one a second at most waits for it."""
    await works(impatient)
    own_redis.pause()
    failures, took_s = await spent(impatient, 500)
    assert 1 <= failures <= 2 + took_s
    own_redis.resume()


@pytest.mark.faults
async def test_one_that_goes_on_is_used_again(own_redis: redis.RedisServer, quick_retries: None) -> None:
    """After a Redis stood still with calls in hand, no late answer is taken for that of another call."""
    cache = RedisCache(own_redis.url, namespace="test", timeout_s=SHORT_S)
    await works(cache)
    for turn in range(5):
        for index in range(50):
            await cache.put(b"%d" % index, b"%d-%d" % (index, turn), ttl_s=600)
        own_redis.pause()
        assert await asyncio.gather(*(cache.get(b"%d" % i, max_age_s=600) for i in range(50))) == [None] * 50
        own_redis.resume()
        await works(cache)
        for index in range(50):
            found = await cache.get(b"%d" % index, max_age_s=600)
            assert found is None or found.startswith(b"%d-" % index)
    await cache.close()


@pytest.mark.faults
async def test_a_slow_one_is_not_waited_for(own_redis: redis.RedisServer, quick_retries: None) -> None:
    """A Redis that answers too late counts as away, and as back when it is quick again."""
    delay = redis.Delay(own_redis.port)
    async with delay.listening():
        cache = RedisCache(delay.url, namespace="test", timeout_s=SHORT_S)
        await works(cache)
        delay.delay_s = 1.0
        failures, took_s = await spent(cache, 100)
        assert 1 <= failures <= 2 + took_s / (breaker.FIRST_S * (1 - breaker.JITTER))
        delay.delay_s = 0.0
        await works(cache)
        await cache.close()


@pytest.mark.faults
async def test_a_restart_loses_values_alone(own_redis: redis.RedisServer, quick_retries: None) -> None:
    """A Redis that comes back empty has nothing, and takes values again."""
    cache = RedisCache(own_redis.url, namespace="test", timeout_s=SHORT_S)
    await works(cache)
    own_redis.restart()
    assert await cache.get(b"again", max_age_s=600) is None
    await works(cache)
    await cache.close()


@pytest.mark.faults
async def test_a_full_one_still_answers(own_redis: redis.RedisServer) -> None:
    """A Redis that takes no more is still read from, and put to seldom."""
    cache = RedisCache(own_redis.url, namespace="test", timeout_s=PATIENT_S)
    await cache.put(b"before", b"v", ttl_s=600)
    own_redis.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    own_redis.command("CONFIG", "SET", "maxmemory", "1")
    for _ in range(100):
        await cache.put(b"after", b"v", ttl_s=600)
        assert await cache.get(b"before", max_age_s=600) == b"v"
    assert await cache.get(b"after", max_age_s=600) is None
    assert resting("write") == 1
    assert resting("read") == 0
    await cache.close()


@pytest.mark.faults
async def test_one_that_loads_its_data_is_away(own_redis: redis.RedisServer, quick_retries: None) -> None:
    """A Redis that is still loading costs no error, and is used once it has loaded."""
    cache = RedisCache(own_redis.url, namespace="test", timeout_s=PATIENT_S)
    # Not to be compressed: Redis looks at its clients every 1024 bytes of what it loads.
    value = random.Random(5).randbytes(2_000)
    for index in range(300):
        await cache.put(b"%d" % index, value, ttl_s=600)
    own_redis.command("SAVE")
    # Microseconds a key, of all half a minute.
    own_redis.restart("--key-load-delay", "100000", "--loading-process-events-interval-bytes", "1024")
    assert own_redis.command("PING").startswith(b"-LOADING")
    assert await cache.get(b"7", max_age_s=600) is None
    assert own_redis.command("CONFIG", "SET", "key-load-delay", "0") == b"+OK\r\n"
    await works(cache)
    assert await cache.get(b"7", max_age_s=600) == value
    await cache.close()


async def test_a_wrong_password_costs_no_error(own_redis: redis.RedisServer) -> None:
    """A Redis that refuses us is one that is away."""
    own_redis.command("CONFIG", "SET", "requirepass", "right")
    url = own_redis.url.replace("redis://", "redis://:wrong@")
    cache = RedisCache(url, namespace="test", timeout_s=PATIENT_S)
    await cache.put(b"k", b"v", ttl_s=600)
    assert await cache.get(b"k", max_age_s=600) is None
    await cache.close()


@pytest.mark.parametrize("leave", [True, False])
async def test_a_caller_who_leaves_does_not_hide_a_failure(
    own_redis: redis.RedisServer, impatient: RedisCache, leave: bool
) -> None:
    """That Redis does not answer is noticed, whether or not its caller has stayed."""
    own_redis.pause()
    read = asyncio.create_task(impatient.get(b"k", max_age_s=600))
    await asyncio.sleep(0)
    if leave:
        read.cancel()
    await until(lambda: resting("read") == 1)
    await asyncio.gather(read, return_exceptions=True)
    own_redis.resume()


async def test_who_asks_is_told_whether_redis_answers(own_redis: redis.RedisServer) -> None:
    """A ping works when Redis does, says why when it does not, and asks while Redis is left alone too."""
    cache = RedisCache(own_redis.url, namespace="test", timeout_s=PATIENT_S)
    await cache.ping()
    own_redis.kill()
    with pytest.raises(Unavailable, match="redis: "):
        await cache.ping()
    await cache.get(b"k", max_age_s=600)
    assert resting("read") == 1
    own_redis.start()
    await cache.ping()
    await cache.close()


async def test_a_ping_waits_no_longer_than_a_read(
    own_redis: redis.RedisServer, impatient: RedisCache
) -> None:
    """A Redis that stands still is told as one that does not answer in time; nothing is mixed up later."""
    own_redis.pause()
    with pytest.raises(Unavailable, match=r"redis: .*(0\.05 s|[Tt]imeout)"):
        await impatient.ping()
    own_redis.resume()
    async with asyncio.timeout(60):
        while True:
            try:
                await impatient.ping()
            except Unavailable:
                await asyncio.sleep(0.01)
            else:
                break
    await works(impatient)

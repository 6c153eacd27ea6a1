"""A cache in Redis, which gateways share. Whatever becomes of Redis costs speed alone."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Literal, TypeVar

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from services.gateway import metrics
from services.gateway.cache import sealing
from services.gateway.cache.breaker import Breaker
from services.gateway.cache.counting import LookupCounter
from services.gateway.cache.interface import Kept, Kind
from services.mesh.errors import Unavailable

_log = structlog.get_logger()

Direction = Literal["read", "write"]
Result = TypeVar("Result")

MAX_CONNECTIONS = 32
# Calls that run at once, with those that wait for a connection; beyond that Redis is not asked.
MAX_RUNNING = 256
MAX_VALUE_BYTES = 1 << 20


class RedisCache:
    """A `Cache` in the Redis of `url` (redis, rediss or unix), under names that begin with `namespace`.

    No call takes longer than `timeout_s`. What has failed is left alone for a moment; reads and writes rest
    apart, since a Redis that is full still answers. A caller who leaves never ends a read half-way: the next
    one on that connection would get what was meant for another.
    """

    def __init__(
        self, url: str, *, namespace: str, timeout_s: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._url = url
        self._prefix = f"{namespace}:cache:{sealing.FORMAT}:".encode()
        self._timeout_s = timeout_s
        self._clock = clock
        self._client = self._connected()
        self._breakers: dict[Direction, Breaker] = {"read": Breaker(), "write": Breaker()}
        self._running: set[asyncio.Task[Any]] = set()
        self._counter = LookupCounter("redis")

    async def get(self, key: bytes, *, max_age_s: float, kind: Kind = "answer") -> bytes | None:
        """See Cache."""
        kept = await self.find(key, max_age_s=max_age_s, kind=kind)
        return None if kept is None else kept.value

    async def find(self, key: bytes, *, max_age_s: float, kind: Kind = "answer") -> Kept | None:
        """As `get`, with all that is known of the value."""
        call = self._begin("read", "GET", self._prefix + key)
        if call is None:
            self._counter.skipped(kind)
            return None
        if not await self._ended(call):
            self._counter.failed(kind)
            return None
        data = call.data
        kept = None if data is None else sealing.opened(key, data, now_s=self._clock())
        if kept is None or kept.age_s > max_age_s:
            self._counter.missed(kind)
            return None
        self._counter.hit(kind, kept.cost_s)
        return kept

    async def put(self, key: bytes, value: bytes, *, ttl_s: float, cost_s: float = 0.0) -> None:
        """See Cache."""
        call = self._begin_put(key, value, ttl_s, cost_s)
        if call is not None:
            await self._ended(call)

    def put_soon(self, key: bytes, value: bytes, *, ttl_s: float, cost_s: float) -> None:
        """As `put`, without waiting for it."""
        self._begin_put(key, value, ttl_s, cost_s)

    async def ping(self) -> None:
        """Raise Unavailable unless Redis answers within `timeout_s`; asked also while it is left alone."""
        asking = self._run(self._answer_problem())
        await asyncio.wait({asking}, timeout=self._timeout_s)
        problem = asking.result() if asking.done() else f"no answer within {self._timeout_s:g} s"
        if problem:
            raise Unavailable(f"redis: {problem}", reason="CACHE_UNAVAILABLE")

    async def close(self) -> None:
        """Let go of Redis once what is being done has ended, which takes a few timeouts at most."""
        while self._running:
            await asyncio.wait(self._running)
        await self._client.aclose()

    def _begin_put(self, key: bytes, value: bytes, ttl_s: float, cost_s: float) -> _Call | None:
        if ttl_s <= 0 or len(value) > MAX_VALUE_BYTES:
            return None
        data = sealing.sealed(key, value, now_s=self._clock(), ttl_s=ttl_s, cost_s=cost_s)
        call = self._begin("write", "SET", self._prefix + key, data, "PX", math.ceil(ttl_s * 1_000))
        if call is None:
            metrics.CACHE_PUTS.labels("skipped").inc()
        return call

    def _begin(self, direction: Direction, *command: str | bytes | int) -> _Call | None:
        """Send a command, unless Redis is to be left alone."""
        if len(self._running) >= MAX_RUNNING or not self._breakers[direction].allows():
            return None
        call = _Call(direction)
        call.task = self._run(self._do(call, command))
        return call

    async def _ended(self, call: _Call) -> bool:
        """Wait for a call as long as one may take; whether it has worked. The call itself goes on."""
        assert call.task is not None
        await asyncio.wait({call.task}, timeout=self._timeout_s)
        if call.is_done:
            return True
        self._failed(call, TimeoutError(f"no answer within {self._timeout_s:g} s"))
        return False

    async def _do(self, call: _Call, command: tuple[str | bytes | int, ...]) -> None:
        try:
            call.data = await self._client.execute_command(*command)
        # Whatever a client library raises is a failure of the cache, and never one of the search.
        except Exception as error:  # noqa: BLE001 - see the line above
            self._failed(call, error)
            return
        if not call.has_failed:
            call.is_done = True
            self._succeeded(call)

    async def _answer_problem(self) -> str:
        """What is wrong with an answer of Redis; empty when nothing is."""
        try:
            await self._client.execute_command("PING")
        # As for `_do`.
        except Exception as error:  # noqa: BLE001 - see the line above
            return str(error) or type(error).__name__
        return ""

    def _failed(self, call: _Call, error: Exception) -> None:
        if call.has_failed:
            return
        call.has_failed = True
        if call.direction == "write":
            metrics.CACHE_PUTS.labels("failed").inc()
        if not self._breakers[call.direction].failed(call.began_s):
            return
        metrics.CACHE_RESTING.labels(call.direction).set(1)
        _log.warning("redis failed", direction=call.direction, error=str(error) or type(error).__name__)
        # A refusal says nothing about the connections; after anything else none of them is trusted.
        if not isinstance(error, ResponseError):
            self._run(self._retire(self._client, frozenset(self._running)))
            self._client = self._connected()

    def _succeeded(self, call: _Call) -> None:
        if call.direction == "write":
            metrics.CACHE_PUTS.labels("kept").inc()
        if self._breakers[call.direction].succeeded(call.began_s):
            metrics.CACHE_RESTING.labels(call.direction).set(0)
            _log.info("redis works again", direction=call.direction)

    def _run(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    @staticmethod
    async def _retire(client: Redis, running: frozenset[asyncio.Task[Any]]) -> None:
        """Close the connections of a client once nobody reads from them."""
        if running:
            await asyncio.wait(running)
        with suppress(RedisError, OSError):
            await client.aclose()

    def _connected(self) -> Redis:
        pool = BlockingConnectionPool.from_url(
            self._url,
            max_connections=MAX_CONNECTIONS,
            timeout=self._timeout_s,
            socket_timeout=self._timeout_s,
            socket_connect_timeout=self._timeout_s,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        return Redis.from_pool(pool)


class _Call:
    """One command on its way. It fails once: when it does, or when its caller has waited long enough."""

    def __init__(self, direction: Direction) -> None:
        self.direction = direction
        self.began_s = time.monotonic()
        self.task: asyncio.Task[None] | None = None
        self.data: bytes | None = None
        self.is_done = False
        self.has_failed = False

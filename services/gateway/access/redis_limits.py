"""Rate limits that all gateways share, in Redis.

Room for several requests is taken at once, so that a busy caller costs twenty calls of Redis a second and not
one a request; who is refused is refused from memory until there is room again. Without Redis each gateway
counts for itself: a limit is never the reason for a failure.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from services.gateway.cache.breaker import Breaker
from services.mesh.rates import MAX_BUCKETS, Allowance, Buckets

_log = structlog.get_logger()

# For how long the room that is taken at once is enough.
_AHEAD_S = 0.05
# A request waits for so many calls of Redis at most; when others had the room each time, it is refused.
_TRIES = 3

# GCRA as in `services.mesh.rates`, on Redis's own clock, in microseconds, for ARGV[3] requests or as many as
# there is room for. It returns how many that are and, when none, the time until there is room for one.
_TAKE = """
local interval, tolerance, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local room = now + tolerance - full_at
if room < 0 then
    return {0, math.ceil(-room)}
end
local granted = math.min(wanted, math.floor(room / interval) + 1)
full_at = full_at + granted * interval
redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000) + 1)
return {granted, 0}
"""


@dataclass(slots=True)
class _Share:
    """This gateway's share of one bucket: room for `requests`, or none until `refused_until_s`.

    `waiting` are the requests that wait for what Redis says.
    """

    requests: int = 0
    waiting: int = 0
    refused_until_s: float = 0.0
    asking: asyncio.Task[None] | None = None


class RedisLimiter:
    """A `Limiter` in the Redis of `url`, which has `timeout_s` to answer.

    `namespace` begins the names of what is kept there.
    """

    def __init__(
        self, url: str, *, namespace: str, timeout_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._redis = Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._script = self._redis.register_script(_TAKE)
        self._prefix = f"{namespace}:limit:1:"
        self._timeout_s = timeout_s
        self._clock = clock
        self._shares: OrderedDict[str, _Share] = OrderedDict()
        self._own = Buckets(clock=clock)
        self._breaker = Breaker(clock=clock)
        self._running: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Let go of Redis once what is being asked has ended."""
        if self._running:
            await asyncio.wait(self._running)
        await self._redis.aclose()

    async def take(self, key: str, rate_per_s: float) -> float:
        """See Limiter."""
        share = self._share(key)
        tries = 0
        while True:
            if share.requests:
                share.requests -= 1
                return 0.0
            wait_s = share.refused_until_s - self._clock()
            if wait_s > 0:
                return wait_s
            if tries == _TRIES:
                return Allowance(rate_per_s).interval_s
            if not await self._has_asked(key, share, rate_per_s):
                return self._own.take_now(key, rate_per_s)
            tries += 1

    def _share(self, key: str) -> _Share:
        share = self._shares.get(key)
        if share is None:
            share = self._shares[key] = _Share()
            if len(self._shares) > MAX_BUCKETS:
                self._shares.popitem(last=False)
        else:
            self._shares.move_to_end(key)
        return share

    async def _has_asked(self, key: str, share: _Share, rate_per_s: float) -> bool:
        """Ask Redis, once for all who wait for the same; whether it has answered in time."""
        if share.asking is None:
            if not self._breaker.allows():
                return False
            share.asking = asyncio.create_task(self._ask(key, share, rate_per_s))
            self._running.add(share.asking)
            share.asking.add_done_callback(self._running.discard)
        asking, began_s = share.asking, self._clock()
        share.waiting += 1
        try:
            # Whoever leaves does not end the call: the next on its connection would read this one's answer.
            await asyncio.wait({asking}, timeout=self._timeout_s)
        finally:
            share.waiting -= 1
        if not asking.done():
            self._failed(began_s, f"no answer within {self._timeout_s:g} s")
            return False
        return not self._breaker.is_open

    async def _ask(self, key: str, share: _Share, rate_per_s: float) -> None:
        allowance = Allowance(rate_per_s)
        wanted = max(math.ceil(rate_per_s * _AHEAD_S), share.waiting)
        began_s = self._clock()
        try:
            granted, wait_us = await self._script(
                keys=[self._prefix + key],
                args=[allowance.interval_s * 1e6, allowance.tolerance_s * 1e6, wanted],
            )
        # Whatever a client library raises is no reason to refuse a request.
        except Exception as error:  # noqa: BLE001 - see the line above
            self._failed(began_s, str(error) or type(error).__name__)
            return
        finally:
            share.asking = None
        if self._breaker.succeeded(began_s):
            _log.info("rate limits are shared again")
        share.requests += granted
        share.refused_until_s = self._clock() + wait_us / 1e6 if wait_us else 0.0

    def _failed(self, began_s: float, error: str) -> None:
        if self._breaker.failed(began_s):
            _log.warning("redis failed, rate limits are counted by each gateway", error=error)

"""How often and how much at once is asked of one host, and when it is left alone."""

from __future__ import annotations

import asyncio
import email.utils
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

from services.mesh.backoff import Backoff
from services.mesh.errors import ResourceExhausted

# A host that asks to be left alone is asked again no sooner and no later than this.
MIN_HOLD_S = 1.0
MAX_HOLD_S = 600.0
# One that does not say for how long, after this at the latest.
MAX_UNASKED_HOLD_S = 60.0

# One 403 is about one picture (object stores answer so for what does not exist). As many in a row, from a
# host that gave nothing else in between, are about us.
FORBIDDEN_IN_A_ROW = 3


class Host:
    """What is known of one host."""

    def __init__(self, *, max_concurrent: int, max_per_s: float, clock: Callable[[], float]) -> None:
        self.slots = asyncio.Semaphore(max_concurrent)
        self.users = 0
        self._clock = clock
        self._interval_s = 1 / max_per_s
        # A second's worth may come at once.
        self._burst_s = max(0.0, 1 - self._interval_s)
        self._due_at = clock()
        self._held_until = clock()
        self._backoff = Backoff(initial_s=2 * MIN_HOLD_S, max_s=MAX_UNASKED_HOLD_S, jitter=0.5)
        self._forbidden = 0

    def require_welcome(self) -> None:
        """Raises ResourceExhausted (URI_RATE_LIMITED) while the host is left alone."""
        left_s = self._held_until - self._clock()
        if left_s > 0:
            raise rate_limited("the host of the address asks for fewer requests", left_s)

    def reserve(self, at_most_s: float) -> float:
        """Take the next place in the host's rate: seconds until it is there.

        The method is GCRA, a token bucket that needs no tokens. Raises ResourceExhausted (URI_RATE_LIMITED),
        and takes none, where that is longer than `at_most_s`.
        """
        now = self._clock()
        due_at = max(self._due_at, now)
        wait_s = max(0.0, due_at - self._burst_s - now)
        if wait_s > at_most_s:
            raise rate_limited("too much is asked of the host of the address", wait_s)
        self._due_at = due_at + self._interval_s
        return wait_s

    def heed(self, status: int, retry_after_s: float | None) -> float | None:
        """Learn from an answer: seconds to leave the host alone where it asks for that, else None.

        It does so with 429, with 503 and a Retry-After, and with 403 when there is a Retry-After or these
        come in a row.
        """
        self._forbidden = self._forbidden + 1 if status == 403 else 0
        if status == 429 or (status in (403, 503) and retry_after_s is not None):
            return self._hold(retry_after_s)
        if status == 403:
            if self._forbidden < FORBIDDEN_IN_A_ROW:
                return None
            # A shop's feed of stale addresses must not keep its host away for good: it takes as many again.
            self._forbidden = 0
            return self._hold(None)
        if status < 500:
            self._backoff.reset()
        return None

    def _hold(self, wanted_s: float | None) -> float:
        now = self._clock()
        if wanted_s is not None:
            wanted_s = min(max(wanted_s, MIN_HOLD_S), MAX_HOLD_S)
            self._held_until = max(self._held_until, now + wanted_s)
        elif self._held_until <= now:
            # Answers to what was on its way when the host first complained count as one complaint.
            self._held_until = now + self._backoff.next_s()
        return self._held_until - now


class Hosts:
    """The hosts of late, and how much is asked of all together.

    `max_hosts` are remembered; those not asked for longest are forgotten first.
    """

    def __init__(
        self,
        *,
        max_concurrent: int,
        max_concurrent_per_host: int,
        max_per_host_per_s: float,
        max_hosts: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._slots = asyncio.Semaphore(max_concurrent)
        self._max_concurrent_per_host = max_concurrent_per_host
        self._max_per_host_per_s = max_per_host_per_s
        self._max_hosts = max_hosts
        self._clock = clock
        self._hosts: OrderedDict[str, Host] = OrderedDict()

    def __len__(self) -> int:
        return len(self._hosts)

    @asynccontextmanager
    async def turn(self, name: str, *, wait_s: float) -> AsyncIterator[Host]:
        """One request's place at a host, waited for `wait_s` seconds at most, and held inside.

        Raises ResourceExhausted (URI_RATE_LIMITED) where there is none in that time, at once where that is
        known at once, and while the host is left alone.
        """
        host = self._host(name)
        host.users += 1
        try:
            host.require_welcome()
            async with AsyncExitStack() as held:
                try:
                    async with asyncio.timeout(wait_s):
                        if (rate_s := host.reserve(wait_s)) > 0:
                            await asyncio.sleep(rate_s)
                        # The host's first: those who wait for a slow host must not keep others from theirs.
                        await held.enter_async_context(host.slots)
                        await held.enter_async_context(self._slots)
                except TimeoutError:
                    raise rate_limited("too much is asked of the host of the address", MIN_HOLD_S) from None
                # It may have complained meanwhile.
                host.require_welcome()
                yield host
        finally:
            host.users -= 1

    def _host(self, name: str) -> Host:
        host = self._hosts.get(name)
        if host is None:
            if len(self._hosts) >= self._max_hosts:
                self._forget_one()
            host = self._hosts[name] = Host(
                max_concurrent=self._max_concurrent_per_host,
                max_per_s=self._max_per_host_per_s,
                clock=self._clock,
            )
        self._hosts.move_to_end(name)
        return host

    def _forget_one(self) -> None:
        idle = next((name for name, host in self._hosts.items() if not host.users), None)
        if idle is None:
            raise rate_limited("pictures are being fetched from too many hosts", MIN_HOLD_S)
        del self._hosts[idle]


def rate_limited(message: str, retry_after_s: float) -> ResourceExhausted:
    """The error for an address whose host is not to be asked now."""
    return ResourceExhausted(message, reason="URI_RATE_LIMITED", retry_after_s=retry_after_s)


def retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, 0 for a date in the past; None without a readable one.

    RFC 9110, section 10.2.3: a number of seconds, or a date.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        # Twelve digits are more than anyone waits; int() refuses thousands of them.
        return float(value[:12])
    try:
        at = email.utils.parsedate_to_datetime(value)
        return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None

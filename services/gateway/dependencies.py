"""Whether what the gateway stands on answers: asked when somebody wants to know, and not for each of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from contextvars import Context

from services.mesh.errors import VitrineError
from vitrine.v1 import status_pb2

Ping = Callable[[], Awaitable[object]]
"""Something cheap that works only where a service does; raises a VitrineError otherwise."""

TIMEOUT_S = 1.0
# So long an answer stands for all who ask, however many browsers show it.
FRESH_S = 1.0
MAX_PROBLEM_CHARACTERS = 200


class Dependencies:
    """The services of `pings`, by name, each with `timeout_s` to answer."""

    def __init__(
        self,
        pings: Mapping[str, Ping],
        *,
        timeout_s: float = TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pings = dict(pings)
        self._timeout_s = timeout_s
        self._clock = clock
        self._answer: asyncio.Task[list[status_pb2.DependencyStatus]] | None = None
        self._answered_at_s = 0.0

    async def close(self) -> None:
        """Ask no more."""
        if self._answer is not None and not self._answer.done():
            self._answer.cancel()
            with suppress(asyncio.CancelledError):
                await self._answer

    async def statuses(self) -> list[status_pb2.DependencyStatus]:
        """How each of them is, in order; asked at once, within `timeout_s`, and at most once in FRESH_S."""
        if self._answer is None or self._is_old(self._answer):
            # Others share the answer: it must not depend on the deadline of the one who asked first.
            self._answer = asyncio.create_task(self._ask_all(), context=Context())
        return await asyncio.shield(self._answer)

    def _is_old(self, answer: asyncio.Task[list[status_pb2.DependencyStatus]]) -> bool:
        return answer.done() and self._clock() - self._answered_at_s >= FRESH_S

    async def _ask_all(self) -> list[status_pb2.DependencyStatus]:
        statuses = await asyncio.gather(*(self._ask(name, ping) for name, ping in self._pings.items()))
        self._answered_at_s = self._clock()
        return statuses

    async def _ask(self, name: str, ping: Ping) -> status_pb2.DependencyStatus:
        began_s = time.perf_counter()
        problem = ""
        try:
            async with asyncio.timeout(self._timeout_s):
                await ping()
        except TimeoutError:
            problem = f"the {name} has not answered within {self._timeout_s:g} s"
        except VitrineError as error:
            problem = error.message[:MAX_PROBLEM_CHARACTERS]
        return status_pb2.DependencyStatus(
            name=name,
            available=not problem,
            problem=problem,
            latency_ms=round((time.perf_counter() - began_s) * 1e3, 3),
        )

"""Equal work that is asked for at the same time is done once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from services.mesh import deadline
from services.mesh.errors import DeadlineExceeded

Result = TypeVar("Result")

# Of a caller without a deadline.
_LONGEST_S = 3_600.0
# Whose time is at most twice what the work has left may share it.
_FAIR_SHARE = 0.5


class SingleFlight(Generic[Result]):
    """Work by key. It goes on while anyone waits for it and is cancelled when the last one has left."""

    def __init__(self) -> None:
        self._flights: dict[bytes, _Flight[Result]] = {}

    async def do(self, key: bytes, work: Callable[[], Coroutine[Any, Any, Result]]) -> tuple[Result, bool]:
        """The result of `work` for `key`, and whether another caller had begun it.

        Work is done within the deadline of the caller who began it. Whoever has much more time does it anew
        rather than share what could be made of less, and so does who joined when it fails at that deadline.
        """
        flight = self._flights.get(key)
        left_s = deadline.remaining_s(_LONGEST_S)
        if flight is None or flight.ends_at_s - time.monotonic() < left_s * _FAIR_SHARE:
            return await self._wait(key, self._begin(key, work)), False
        try:
            return await self._wait(key, flight), True
        except DeadlineExceeded:
            deadline.remaining_s(1.0)
            return await work(), False

    def _begin(self, key: bytes, work: Callable[[], Coroutine[Any, Any, Result]]) -> _Flight[Result]:
        ends_at_s = time.monotonic() + deadline.remaining_s(_LONGEST_S)
        flight = _Flight(asyncio.create_task(work()), ends_at_s)
        self._flights[key] = flight
        flight.task.add_done_callback(lambda _task: self._end(key, flight))
        return flight

    async def _wait(self, key: bytes, flight: _Flight[Result]) -> Result:
        flight.waiting += 1
        try:
            async with asyncio.timeout(deadline.remaining_s(_LONGEST_S)):
                return await asyncio.shield(flight.task)
        except TimeoutError:
            raise DeadlineExceeded("the deadline of the request has passed") from None
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                self._end(key, flight)
                flight.task.cancel()

    def _end(self, key: bytes, flight: _Flight[Result]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]


class _Flight(Generic[Result]):
    def __init__(self, task: asyncio.Task[Result], ends_at_s: float) -> None:
        self.task = task
        self.ends_at_s = ends_at_s
        self.waiting = 0

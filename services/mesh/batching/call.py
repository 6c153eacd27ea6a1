"""A caller's items on their way through the stages."""

from __future__ import annotations

import asyncio
import enum
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from services.mesh.errors import VitrineError

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class Priority(enum.IntEnum):
    """Who waits: a person, or an import that is content with a share of the device."""

    INTERACTIVE = 0
    BULK = 1


class Call(Generic[Outcome]):
    """The outcomes of one caller's items. Made and awaited on an event loop, settled by any thread."""

    def __init__(self, items: int, *, priority: Priority, deadline_at: float) -> None:
        """`deadline_at` is a time of `time.monotonic`."""
        self.priority = priority
        self.deadline_at = deadline_at
        self.left = False
        self._outcomes: list[Outcome | VitrineError | None] = [None] * items
        self._times_s: dict[str, float] = {}
        self._missing = items
        self._lock = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._settled = asyncio.Event()

    @property
    def times_s(self) -> dict[str, float]:
        """Seconds in each stage, of the item that took longest in it."""
        return dict(self._times_s)

    def settle(self, index: int, outcome: Outcome | VitrineError) -> None:
        """Give the item at `index` its outcome; the caller wakes when all have theirs."""
        with self._lock:
            self._outcomes[index] = outcome
            self._missing -= 1
            whole = self._missing == 0
        # A loop that is gone has nobody waiting on it.
        if whole and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._settled.set)

    def took(self, stage: str, duration_s: float) -> None:
        """Note how long an item was in a stage."""
        with self._lock:
            self._times_s[stage] = max(duration_s, self._times_s.get(stage, 0.0))

    async def outcomes(self) -> list[Outcome | VitrineError]:
        """The outcome of every item, in order. Cancelled, the call has left: what waits of it is dropped."""
        try:
            if self._missing:
                await self._settled.wait()
        except asyncio.CancelledError:
            self.left = True
            raise
        return [outcome for outcome in self._outcomes if outcome is not None]


@dataclass(slots=True, eq=False)
class Job(Generic[Item, Outcome]):
    """An item before a stage. Jobs of one `kind` may share a batch.

    `done` is called once with the outcome, on a thread of the stage or on that of whoever closes it; for a
    job whose caller left it is called all the same, so that its place is freed.
    """

    call: Call[Any]
    kind: Hashable
    item: Item
    size_bytes: int
    done: Callable[[Outcome | VitrineError], None]
    # A time of `time.monotonic`, which the stage sets when the job is put.
    queued_at: float = 0.0

"""The writer of the change log: group commit, preconditions at the head, and word to those who follow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import structlog

from services.gateway import metrics
from services.gateway.store.interface import (
    MAX_ENTRY_BYTES,
    MAX_ENTRY_CHANGES,
    Entry,
    HeadMoved,
    ProductChange,
    ProductKey,
    Store,
)
from services.mesh import deadline
from services.mesh.errors import DeadlineExceeded, ResourceExhausted, Unavailable

_log = structlog.get_logger()

MAX_WAITING_WRITES = 256
TRIM_EVERY_ENTRIES = 1_000


class Stale(Exception):
    """A product has changed since the write was prepared: prepare it again."""


class Replay(Exception):
    """A write of the same request key was made before; `outcome` is what it answered."""

    def __init__(self, outcome: bytes) -> None:
        super().__init__("this write was made before")
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Write:
    """Changes that stand or fall together: at most MAX_ENTRY_CHANGES, no product twice.

    `expected` gives the revision that each product must have at the head, 0 for one that does not exist.
    `outcome` makes what is kept under `request_key` from the write's revision.
    """

    changes: tuple[ProductChange, ...]
    expected: Mapping[ProductKey, int]
    request_key: str = ""
    outcome: Callable[[int], bytes] = field(default=lambda _revision: b"")

    @property
    def size_bytes(self) -> int:
        """Roughly what it takes in the log."""
        return sum(change.size_bytes for change in self.changes)


class ChangeLog:
    """Writes through one task, so that writes that wait share an entry and one trip to the disk."""

    def __init__(self, store: Store, *, keep_entries: int) -> None:
        self._store = store
        self._keep_entries = keep_entries
        self._waiting: asyncio.Queue[_Waiting] = asyncio.Queue(MAX_WAITING_WRITES)
        # Taken from the queue, but not fit for the entry at hand.
        self._put_back: _Waiting | None = None
        self._applied = 0
        self._grown = asyncio.Condition()

    @property
    def head(self) -> int:
        """The last revision known to be applied."""
        return self._applied

    async def start(self) -> None:
        """Finish what a writer that died has left: apply the tail of the log."""
        self._applied = await self._store.applied()
        await self._roll_forward()

    @asynccontextmanager
    async def running(self, on_failure: Callable[[], None]) -> AsyncIterator[None]:
        """Commit writes meanwhile. Should that fail, `on_failure` is called, and leaving raises the cause."""
        task = asyncio.create_task(self._run())
        task.add_done_callback(lambda done: None if done.cancelled() else on_failure())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        while True:
            group = [self._put_back or await self._waiting.get()]
            self._put_back = None
            self._fill(group)
            group = [waiting for waiting in group if not waiting.revision.done()]
            try:
                await self._commit(group)
            except Unavailable as error:
                for waiting in group:
                    waiting.fail(error)

    async def write(self, write: Write) -> int:
        """Commit a write; its revision, once it is durable and can be read.

        Raises Stale, Replay, Unavailable (the store), ResourceExhausted (too many wait), DeadlineExceeded.
        """
        waiting = _Waiting(write)
        try:
            self._waiting.put_nowait(waiting)
        except asyncio.QueueFull:
            raise ResourceExhausted(f"{MAX_WAITING_WRITES} writes are waiting already") from None
        try:
            async with asyncio.timeout(deadline.remaining_s(3600.0)):
                return await waiting.revision
        except TimeoutError:
            raise DeadlineExceeded("the write was not committed before the deadline") from None

    async def wait_past(self, revision: int, timeout_s: float) -> int:
        """The head, as soon as it is past `revision`, or after `timeout_s` as it is then.

        On the way it notices what other gateways have written.
        """
        try:
            async with asyncio.timeout(timeout_s), self._grown:
                await self._grown.wait_for(lambda: self._applied > revision)
        except TimeoutError:
            await self._notice(await self._store.applied())
        return self._applied

    def _fill(self, group: list[_Waiting]) -> None:
        """Add writes that wait to a group, as far as they fit into one entry and touch no product twice."""
        keys = set(group[0].keys)
        requests = {group[0].write.request_key} - {""}
        changes, size_bytes = len(group[0].write.changes), group[0].write.size_bytes
        while not self._waiting.empty():
            candidate = self._waiting.get_nowait()
            write = candidate.write
            changes, size_bytes = changes + len(write.changes), size_bytes + write.size_bytes
            if (
                changes > MAX_ENTRY_CHANGES
                or size_bytes > MAX_ENTRY_BYTES
                or not keys.isdisjoint(candidate.keys)
                or write.request_key in requests
            ):
                self._put_back = candidate
                return
            keys |= candidate.keys
            requests |= {write.request_key} - {""}
            group.append(candidate)

    async def _commit(self, group: list[_Waiting]) -> None:
        while True:
            bounds = await self._store.bounds()
            if bounds.head > self._applied:
                await self._roll_forward()
            ready = await self._checked(group)
            if not ready:
                return
            revision = self._applied + 1
            entry = Entry(
                revision=revision,
                time_ms=time.time_ns() // 1_000_000,
                changes=tuple(change for waiting in ready for change in waiting.write.changes),
                outcomes={
                    waiting.write.request_key: waiting.write.outcome(revision)
                    for waiting in ready
                    if waiting.write.request_key
                },
            )
            try:
                await self._store.append(entry)
            except HeadMoved:
                continue
            await self._store.apply(entry)
            metrics.LOG_ENTRY_CHANGES.observe(len(entry.changes))
            for waiting in ready:
                waiting.succeed(revision)
            await self._notice(revision)
            if revision % TRIM_EVERY_ENTRIES == 0:
                await self._store.trim(self._keep_entries)
            return

    async def _checked(self, group: list[_Waiting]) -> list[_Waiting]:
        """Those writes of a group whose preconditions hold at the head; the others are told."""
        keys = {key for waiting in group for key in waiting.write.expected}
        revisions = await self._store.revisions(keys)
        ready = []
        for waiting in group:
            if waiting.revision.done():
                continue
            write = waiting.write
            outcome = await self._store.outcome(write.request_key) if write.request_key else None
            if outcome is not None:
                waiting.fail(Replay(outcome))
            elif any(revisions.get(key, 0) != revision for key, revision in write.expected.items()):
                waiting.fail(Stale())
            else:
                ready.append(waiting)
        return ready

    async def _roll_forward(self) -> None:
        while entries := await self._store.entries(self._applied):
            for entry in entries:
                await self._store.apply(entry)
                await self._notice(entry.revision)
            _log.info("rolled forward", revision=self._applied)

    async def _notice(self, revision: int) -> None:
        if revision <= self._applied:
            return
        async with self._grown:
            self._applied = revision
            self._grown.notify_all()
        metrics.LOG_HEAD.set(revision)


class _Waiting:
    """A write and its caller."""

    def __init__(self, write: Write) -> None:
        self.write = write
        self.keys = {change.key for change in write.changes}
        self.revision: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def succeed(self, revision: int) -> None:
        """Tell the caller, if still there."""
        if not self.revision.done():
            self.revision.set_result(revision)

    def fail(self, error: Exception) -> None:
        """Tell the caller, if still there."""
        if not self.revision.done():
            self.revision.set_exception(error)

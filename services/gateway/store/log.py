"""The writer of the change log: group commit, preconditions at the head, and word to those who follow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

import structlog

from services.gateway import metrics
from services.gateway.store.interface import (
    MAX_ENTRY_BYTES,
    MAX_ENTRY_CHANGES,
    CatalogChange,
    CatalogRecord,
    Entry,
    HeadMoved,
    ProductChange,
    ProductKey,
    Store,
)
from services.mesh import deadline
from services.mesh.background import beside
from services.mesh.errors import DeadlineExceeded, OutOfRange, ResourceExhausted, Unavailable

_log = structlog.get_logger()

MAX_WAITING_WRITES = 256
POLL_S = 0.1
# How long a writer may take from appending an entry to applying it before others do so.
GRACE_S = 0.5
TRIM_EVERY_ENTRIES = 1_000


class Stale(Exception):
    """A product or its catalogue has changed since the write was prepared: prepare it again."""


class Replay(Exception):
    """A write of the same request key was made before; `outcome` is what it answered."""

    def __init__(self, outcome: bytes) -> None:
        super().__init__("this write was made before")
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Write:
    """Changes that stand or fall together: at most MAX_ENTRY_CHANGES, no product or catalogue twice.

    `expected` gives the revision that each product must have at the head, 0 for one that does not exist, and
    `expected_catalogs` the same of catalogues, so that no write is prepared for generations that a catalogue
    no longer has. Both may name what the write does not change. `outcome` makes what is kept under
    `request_key` from the write's revision, also of a write without changes.
    """

    changes: tuple[ProductChange, ...] = ()
    expected: Mapping[ProductKey, int] = field(default_factory=dict)
    catalogs: tuple[CatalogChange, ...] = ()
    expected_catalogs: Mapping[str, int] = field(default_factory=dict)
    request_key: str = ""
    outcome: Callable[[int], bytes] = field(default=lambda _revision: b"")

    @property
    def size_bytes(self) -> int:
        """Roughly what it takes in the log."""
        changes = sum(change.size_bytes for change in self.changes)
        return changes + sum(change.size_bytes for change in self.catalogs)

    @property
    def changed_keys(self) -> frozenset[ProductKey]:
        """The products that it changes."""
        return frozenset(change.key for change in self.changes)

    @property
    def read_keys(self) -> frozenset[ProductKey]:
        """The products that must be as they were for it to be right."""
        return self.changed_keys | self.expected.keys()

    @property
    def changed_catalogs(self) -> frozenset[str]:
        """The catalogues that it changes themselves."""
        return frozenset(change.catalog for change in self.catalogs)

    @property
    def read_catalogs(self) -> frozenset[str]:
        """The catalogues that must be as they were for it to be right."""
        return frozenset(change.catalog for change in self.changes) | self.expected_catalogs.keys()


class ChangeLog:
    """Writes through one task, so that writes that wait share an entry and one trip to the disk."""

    def __init__(self, store: Store, *, keep_entries: int, poll_s: float = POLL_S) -> None:
        """While somebody follows, it looks every `poll_s` for what other gateways have written."""
        self._store = store
        self._keep_entries = keep_entries
        self._poll_s = poll_s
        self._waiting: asyncio.Queue[_Waiting] = asyncio.Queue(MAX_WAITING_WRITES)
        # Taken from the queue, but not fit for the entry at hand.
        self._put_back: _Waiting | None = None
        self._applied = 0
        self._grown = asyncio.Condition()
        self._followers = 0
        self._followed = asyncio.Event()
        # Where the projections stood when they were first seen behind the log, and since when.
        self._behind: tuple[int, float] | None = None

    @property
    def head(self) -> int:
        """The last revision known to be applied."""
        return self._applied

    async def start(self) -> None:
        """Finish what a writer that died has left: apply the tail of the log."""
        self._applied = await self._store.applied()
        metrics.LOG_HEAD.set(self._applied)
        await self._roll_forward()

    @asynccontextmanager
    async def running(self, on_failure: Callable[[], None]) -> AsyncIterator[None]:
        """Commit writes meanwhile, and look for those of others while somebody follows.

        Should that fail, `on_failure` is called, and leaving raises the cause.
        """
        async with beside(self._run, self._watch, on_failure=on_failure):
            yield

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Let what other gateways write be noticed within a moment."""
        self._followers += 1
        self._followed.set()
        try:
            yield
        finally:
            self._followers -= 1
            if not self._followers:
                self._followed.clear()

    async def reach(self, revision: int) -> None:
        """Return once all up to a revision of the log can be read, if need be in place of who wrote it.

        Raises Unavailable.
        """
        if self._applied < revision:
            await self._roll_forward()

    async def catch_up(self) -> None:
        """Notice what other gateways have written, and finish what one that died has left behind."""
        await self._notice(await self._store.applied())
        applied = self._applied
        if (await self._store.bounds()).head <= applied:
            self._behind = None
        elif self._behind is None or self._behind[0] != applied:
            # Whoever has appended is about to apply, unless it has died.
            self._behind = applied, time.monotonic()
        elif time.monotonic() - self._behind[1] >= GRACE_S:
            await self._roll_forward()

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

    async def _watch(self) -> None:
        while True:
            await self._followed.wait()
            # A store that is away is told to followers when they read.
            with suppress(Unavailable):
                await self.catch_up()
            await asyncio.sleep(self._poll_s)

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
        """Add writes that wait to a group, as far as they fit into one entry and none is in another's way."""
        share = _Share(group[0].write)
        while not self._waiting.empty():
            candidate = self._waiting.get_nowait()
            if not share.add(candidate.write):
                self._put_back = candidate
                return
            group.append(candidate)

    async def _commit(self, group: list[_Waiting]) -> None:
        while True:
            bounds = await self._store.bounds()
            if bounds.head > self._applied:
                await self._roll_forward()
            # Before the preconditions are looked at: should anybody write meanwhile, the append fails.
            revision = self._applied + 1
            ready = await self._checked(group)
            if not ready:
                return
            writes = [waiting.write for waiting in ready]
            entry = Entry(
                revision=revision,
                time_ms=time.time_ns() // 1_000_000,
                changes=tuple(change for write in writes for change in write.changes),
                catalogs=tuple(change for write in writes for change in write.catalogs),
                outcomes={
                    write.request_key: write.outcome(revision) for write in writes if write.request_key
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
        revisions = await self._store.revisions({key for each in group for key in each.write.expected})
        catalogs = {
            catalog: await self._store.catalog(catalog)
            for catalog in {catalog for each in group for catalog in each.write.expected_catalogs}
        }
        ready = []
        for waiting in group:
            if waiting.revision.done():
                continue
            write = waiting.write
            outcome = await self._store.outcome(write.request_key) if write.request_key else None
            if outcome is not None:
                waiting.fail(Replay(outcome))
            elif any(
                revisions.get(key, 0) != revision for key, revision in write.expected.items()
            ) or not _finds_catalogs(write, catalogs):
                waiting.fail(Stale())
            else:
                ready.append(waiting)
        return ready

    async def _roll_forward(self) -> None:
        """Apply what was appended and is not applied."""
        while True:
            await self._notice(await self._store.applied())
            try:
                entries = await self._store.entries(self._applied)
            except OutOfRange:
                # Others may have applied and trimmed what came next, since it was asked how far they are.
                if await self._store.applied() > self._applied:
                    continue
                raise
            if not entries:
                return
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


class _Share:
    """What an entry holds so far of the writes that are to share it."""

    def __init__(self, write: Write) -> None:
        self._changes = len(write.changes)
        self._size_bytes = write.size_bytes
        self._changed_keys = set(write.changed_keys)
        self._read_keys = set(write.read_keys)
        self._changed_catalogs = set(write.changed_catalogs)
        self._read_catalogs = set(write.read_catalogs)
        self._requests = {write.request_key} - {""}

    def add(self, write: Write) -> bool:
        """Take another write in, unless it has to wait for the next entry."""
        changed_keys, read_keys = write.changed_keys, write.read_keys
        changed, read = write.changed_catalogs, write.read_catalogs
        if (
            self._changes + len(write.changes) > MAX_ENTRY_CHANGES
            or self._size_bytes + write.size_bytes > MAX_ENTRY_BYTES
            or not self._changed_keys.isdisjoint(read_keys)
            or not self._read_keys.isdisjoint(changed_keys)
            or not self._changed_catalogs.isdisjoint(changed | read)
            or not self._read_catalogs.isdisjoint(changed)
            or write.request_key in self._requests
        ):
            return False
        self._changes += len(write.changes)
        self._size_bytes += write.size_bytes
        self._changed_keys |= changed_keys
        self._read_keys |= read_keys
        self._changed_catalogs |= changed
        self._read_catalogs |= read
        self._requests |= {write.request_key} - {""}
        return True


def _finds_catalogs(write: Write, catalogs: Mapping[str, CatalogRecord | None]) -> bool:
    """Whether the catalogues of a write are what it was prepared for.

    A write that changes a catalogue itself may find none, or one that is being deleted.
    """
    for catalog, revision in write.expected_catalogs.items():
        record = catalogs[catalog]
        if (record.revision if record else 0) != revision:
            return False
        if catalog not in write.changed_catalogs and (record is None or record.is_deleting):
            return False
    return True


class _Waiting:
    """A write and its caller."""

    def __init__(self, write: Write) -> None:
        self.write = write
        self.revision: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def succeed(self, revision: int) -> None:
        """Tell the caller, if still there."""
        if not self.revision.done():
            self.revision.set_result(revision)

    def fail(self, error: Exception) -> None:
        """Tell the caller, if still there."""
        if not self.revision.done():
            self.revision.set_exception(error)

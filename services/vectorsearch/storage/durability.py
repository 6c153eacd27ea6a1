"""Keeps what a shard holds on disk: snapshots, and a journal of what was applied since.

Both serve quick starts only. The feed is the truth: it carries on from whatever revision a start reached, and
applying a change again does nothing, so what is lost here costs time and never data. A scan is not journaled,
as it is as long as the catalogue: what was on disk before stays, and a snapshot is due when it has ended.

A disk that refuses stops the journal, since what comes after a gap must not be applied, until a snapshot has
made the gap good. Searches and the following of the feed never notice.
"""

from __future__ import annotations

import asyncio
import fcntl
import gc
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from services.mesh.errors import FailedPrecondition, InvalidArgument, Unavailable
from services.vectorsearch import metrics, wire
from services.vectorsearch.changes import Change
from services.vectorsearch.shard import FrozenShard, Shard
from services.vectorsearch.storage import journal
from services.vectorsearch.storage.disk import Disk
from services.vectorsearch.storage.journal import Journal, Record
from services.vectorsearch.storage.snapshot import SnapshotStore
from vitrine.v1 import catalog_pb2

_log = structlog.get_logger()

Result = TypeVar("Result")

FORMAT = 1

_LOCK = "lock"

# Changes that a start applies together.
_REPLAYED_AT_ONCE = 512


class Durability:
    """Keeps `shard`, the one of this number among so many, in `directory`, where nobody else writes.

    `writer` is the executor whose one thread alone changes the shard. A snapshot is taken in every
    `snapshot_interval_s` in which something changed, and as soon as the journal has `journal_max_bytes`; one
    of twice that size is stopped.
    """

    def __init__(
        self,
        shard: Shard,
        directory: Path,
        *,
        number: int,
        shards: int,
        writer: Executor,
        snapshot_interval_s: float,
        journal_sync_interval_s: float,
        journal_max_bytes: int,
        disk: Disk | None = None,
    ) -> None:
        self._shard = shard
        self._directory = directory
        self._writer = writer
        self._snapshot_interval_s = snapshot_interval_s
        self._journal_sync_interval_s = journal_sync_interval_s
        self._journal_max_bytes = journal_max_bytes
        self._disk = disk or Disk()
        self._store = SnapshotStore(directory, shard=number, shards=shards, disk=self._disk)
        self._saver = ThreadPoolExecutor(1, thread_name_prefix="snapshot")
        # Syncs journals, and alone closes them.
        self._syncer = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._taking = asyncio.Lock()
        self._due = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        # The revision that the newest snapshot reflects, and the one that a start now would reach.
        self.snapshot_revision = 0
        self.journal_revision = 0
        # The revision that was journaled last, whether or not there is a snapshot yet to which it belongs.
        self._recorded_revision = 0

        # The rest is the writer's, but to look at.

        # What is appended to; None while there is a gap that the next snapshot has to make good.
        self._journal: Journal | None = None
        # Whether the journal there is carries on from the newest snapshot, and not from one yet to be.
        self._founded = True
        self._retired: deque[Journal] = deque()
        # Bytes that a start would replay.
        self._journal_bytes = 0
        self._number = 0
        self._changed = False
        # When the newest snapshot was last known to hold all that there was.
        self._whole_at_s = time.monotonic()
        self._scanning = False
        self._failure_told = False
        self._locked: int | None = None

    @property
    def snapshot_age_s(self) -> float:
        """Seconds since the newest snapshot was last known to hold all that there was, or since the start."""
        return time.monotonic() - self._whole_at_s

    def load(self) -> bool:
        """Let the shard, a new one, be what is on disk; whether anything was. Before all else.

        Raises FailedPrecondition (DIRECTORY_IN_USE) while another process keeps a shard there: each would
        remove what the other one has written.
        """
        self._lock()
        # Of a million objects that all stay, the collector would look for those that do not.
        gc.disable()
        try:
            return self._load()
        finally:
            gc.enable()

    def record(self, frame: catalog_pb2.FollowResponse) -> None:
        """Journal a frame of the feed that was applied. For the writer's thread."""
        if not frame.changes and frame.revision <= self.journal_revision:
            return
        self._changed = True
        if self._journal is None:
            return
        before = self._journal.size_bytes
        try:
            self._journal.append(frame.SerializeToString())
        except OSError as error:
            self._stop(str(error))
            return
        self._count(self._journal.size_bytes - before)
        self._recorded_revision = frame.revision
        if self._founded:
            self.journal_revision = frame.revision
        if self._journal_bytes >= self._journal_max_bytes:
            self._make_due()
        if self._journal_bytes >= 2 * self._journal_max_bytes:
            self._stop(f"it has {self._journal_bytes} bytes")

    async def begin_scan(self, *, anew: bool) -> None:
        """Take note that a scan begins, before what it shows is applied.

        `anew`: the log was replaced by another one, and nothing of the old one must ever be loaded again.
        """
        if not anew:
            await self._in(self._writer, self._begin_scan)
            return
        async with self._taking:
            await self._in(self._writer, self._begin_scan)
            try:
                await self._in(self._saver, self._store.forget)
            except OSError as error:
                _log.error("snapshots of another log not removed", error=str(error))
            self.snapshot_revision = self.journal_revision = self._recorded_revision = 0

    async def end_scan(self) -> None:
        """Take note that all that a scan showed was applied, and the rest dropped."""
        await self._in(self._writer, self._end_scan)
        self._due.set()

    async def run(self) -> None:
        """Take snapshots and sync the journal in time, until cancelled."""
        self._loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._take_in_time())
            tasks.create_task(self._sync_in_time())

    async def take(self) -> int:
        """Take a snapshot if something changed since the last one; the revision that the newest reflects.

        Raises Unavailable (SNAPSHOT_FAILED) when the disk refuses, and while a scan is under way. What was on
        disk before stays then.
        """
        # A caller who leaves does not leave one half taken.
        return await asyncio.shield(self._take())

    async def close(self) -> None:
        """Bring on disk what is not, once nothing is applied any more."""
        await self._sync()
        with suppress(Unavailable):
            await self.take()
        await self._in(self._writer, self._retire)
        await self._sync()
        self._saver.shutdown()
        self._syncer.shutdown()
        self._unlock()

    def _lock(self) -> None:
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._locked = os.open(self._directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            # Where nothing can be written, nobody else can either.
            _log.error("directory not locked", error=str(error))
            return
        try:
            fcntl.flock(self._locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._unlock()
            raise FailedPrecondition(
                f"another process keeps a shard in {self._directory}", reason="DIRECTORY_IN_USE"
            ) from error

    def _unlock(self) -> None:
        if self._locked is not None:
            os.close(self._locked)
            self._locked = None

    async def _take(self) -> int:
        async with self._taking:
            start = time.perf_counter()
            frozen = await self._in(self._writer, self._freeze)
            if frozen is None:
                self._whole_at_s = time.monotonic()
                return self.snapshot_revision
            frozen_at_s = time.monotonic()
            try:
                await self._in(self._saver, partial(self._store.save, self._number, frozen))
            except OSError as error:
                await self._in(self._writer, self._not_saved)
                _log.error("snapshot failed", error=str(error))
                metrics.SNAPSHOTS.labels("failed").inc()
                raise Unavailable(f"the disk refuses: {error}", reason="SNAPSHOT_FAILED") from error
            await self._in(self._writer, partial(self._saved, frozen.revision))
            self._whole_at_s = frozen_at_s
            metrics.SNAPSHOTS.labels("ok").inc()
            metrics.SNAPSHOT_SECONDS.observe(time.perf_counter() - start)
            _log.info("snapshot taken", revision=frozen.revision)
            return frozen.revision

    def _load(self) -> bool:
        start = time.perf_counter()
        number, frozen = self._store.load()
        self._shard.thaw(frozen)
        self.snapshot_revision = frozen.revision
        last = self._replay(number)
        self.journal_revision = self._shard.revision
        self._number = number
        try:
            if last is None:
                path = self._store.path(number, journal.SUFFIX)
                self._disk.remove(path)
                self._journal = self._begin(path, follows=None)
            else:
                self._journal = Journal.reopen(self._disk, *last)
        except OSError as error:
            self._stop(str(error))
        loaded = number > 0 or self._changed
        if loaded:
            _log.info(
                "loaded",
                snapshot_revision=self.snapshot_revision,
                revision=self._shard.revision,
                seconds=round(time.perf_counter() - start, 3),
            )
        return loaded

    async def _take_in_time(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._snapshot_interval_s):
                    await self._due.wait()
            self._due.clear()
            if self._scanning:
                continue
            try:
                await self.take()
            except Unavailable:
                # However much it is due, a disk that refuses gets time.
                await asyncio.sleep(self._snapshot_interval_s)

    async def _sync_in_time(self) -> None:
        while True:
            await asyncio.sleep(self._journal_sync_interval_s)
            await self._sync()

    async def _sync(self) -> None:
        try:
            await self._in(self._syncer, self._sync_journals)
        except OSError as error:
            # What is on disk of it is not known any more.
            await self._in(self._writer, partial(self._stop, str(error)))

    def _sync_journals(self) -> None:
        while self._retired:
            with closing(self._retired.popleft()) as retired:
                retired.sync()
        # Should the writer retire this one now: it is closed here and nowhere else, the next time.
        if current := self._journal:
            current.sync()

    def _freeze(self) -> FrozenShard | None:
        """The state for a snapshot, and a journal that begins with it; None when nothing changed."""
        if self._scanning:
            raise Unavailable("a scan is under way", reason="SNAPSHOT_FAILED")
        if not self._changed:
            return None
        self._changed = False
        frozen = self._shard.freeze()
        self._number = max(self._number + 1, self._store.next_number())
        before = self._journal
        self._retire()
        self._founded = before is not None
        try:
            self._journal = self._begin(self._store.path(self._number, journal.SUFFIX), follows=before)
        except OSError as error:
            self._stop(str(error))
        return frozen

    def _saved(self, revision: int) -> None:
        self.snapshot_revision = revision
        self._founded = True
        self._failure_told = False
        self.journal_revision = max(revision, self._recorded_revision)
        self._journal_bytes = 0
        self._count(self._journal.size_bytes if self._journal else 0)

    def _not_saved(self) -> None:
        self._changed = True
        if not self._founded:
            self._retire()

    def _begin_scan(self) -> None:
        self._scanning = True
        self._retire()

    def _end_scan(self) -> None:
        self._scanning = False
        self._changed = True

    def _begin(self, path: Path, *, follows: Journal | None) -> Journal:
        self._directory.mkdir(parents=True, exist_ok=True)
        return Journal.create(
            self._disk,
            path,
            {
                "format": FORMAT,
                **self._store.owner,
                "name": path.name,
                "follows": [follows.path.name, follows.checksum] if follows else None,
            },
        )

    def _stop(self, problem: str) -> None:
        """Journal no more until the next snapshot."""
        self._retire()
        metrics.JOURNAL_FAILURES.inc()
        if not self._failure_told:
            _log.error("journal stopped until the next snapshot", error=problem)
            self._failure_told = True

    def _retire(self) -> None:
        if self._journal is not None:
            self._retired.append(self._journal)
            self._journal = None

    def _make_due(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._due.set)

    def _count(self, size_bytes: int) -> None:
        self._journal_bytes += size_bytes
        metrics.JOURNAL_BYTES.set(self._journal_bytes)

    def _replay(self, number: int) -> tuple[Path, Record] | None:
        """Apply all that was journaled since a snapshot; the last journal and its last record."""
        last: tuple[Path, Record] | None = None
        for journal_number, path in self._store.journals(number):
            whole = journal.records(path)
            opening = next(whole, None)
            if opening is None:
                continue
            told = json.loads(opening.payload)
            follows = [last[0].name, last[1].checksum] if last else None
            ours = {"format": FORMAT, **self._store.owner, "name": path.name}
            # Of what came before the first one that is whole, only the snapshot of its own number knows.
            founded = journal_number == number or last is not None
            if not founded or told != ours | {
                "follows": told.get("follows") if journal_number == number else follows
            }:
                _log.warning("journal passed over", journal=path.name)
                continue
            last = path, self._apply(whole) or opening
            self._count(last[1].end_bytes)
        return last

    def _apply(self, frames: Iterator[Record]) -> Record | None:
        """Apply journaled frames, many together as that is quicker; the record of the last."""
        changes: list[Change] = []
        revision = 0
        record = None
        for record in frames:
            frame = catalog_pb2.FollowResponse.FromString(record.payload)
            revision = frame.revision
            for message in frame.changes:
                # What could not be understood when it came was refused then.
                with suppress(InvalidArgument):
                    changes.append(wire.change_of(message))
            if len(changes) >= _REPLAYED_AT_ONCE:
                self._shard.apply(changes, revision=revision)
                changes.clear()
        if record is not None:
            self._shard.apply(changes, revision=revision)
            self._changed = True
        return record

    @staticmethod
    async def _in(executor: Executor, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(executor, work)

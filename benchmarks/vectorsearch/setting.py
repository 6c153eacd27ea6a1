"""What all parts of the benchmark have at hand."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

import psutil

from benchmarks.vectorsearch import collection, feed
from benchmarks.vectorsearch.callers import Caller
from benchmarks.vectorsearch.collection import DIMENSIONS, Collection
from benchmarks.vectorsearch.kept import Kept
from benchmarks.vectorsearch.plan import Plan
from benchmarks.vectorsearch.shard import Shard, shard

# Of the vectors, in memory: the mapped files, FAISS's copy, and a shard that holds 2.2 times as much.
_MEMORY_SHARE = 4.5
# On disk: the files, two snapshots and a journal.
_DISK_SHARE = 4.5

P = ParamSpec("P")
T = TypeVar("T")


class NoRoom(Exception):
    """This machine is too small for so many rows; says why."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A process of the benchmark's own that does one task after the other."""

    pool: ProcessPoolExecutor

    async def run(self, task: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of a task, which is a function of a module."""
        return await asyncio.wrap_future(self.pool.submit(task, *args, **kwargs))


@dataclass(frozen=True, slots=True)
class Setting:
    """How much is measured, on which photos, and who helps: `bare` runs FAISS, `feed` serves the changes."""

    plan: Plan
    kept: Kept | None
    bare: Worker
    feed: Worker
    folder: Path

    @contextlib.contextmanager
    def collection(self, rows: int, spaces: Sequence[str]) -> Iterator[Collection]:
        """A collection that lies on disk meanwhile; raises NoRoom."""
        size = rows * sum(DIMENSIONS[space] for space in spaces) * 4
        self._require(psutil.virtual_memory().available, size * _MEMORY_SHARE, "memory")
        self._require(shutil.disk_usage(self.folder).free, size * _DISK_SHARE, "disk")
        folder = self.folder / f"{rows}-{'-'.join(spaces)}"
        try:
            yield collection.make(folder, self.kept, rows=rows, spaces=spaces, queries=self.plan.queries)
        finally:
            shutil.rmtree(folder)

    @contextlib.asynccontextmanager
    async def shard(
        self, name: str, feed_port: int, *, kind: str | None = None
    ) -> AsyncIterator[tuple[Shard, Caller]]:
        """A shard that follows the feed at that port, and a connection to it; its files go with it."""
        folder = self.folder / name
        try:
            async with shard(folder, feed_port, kind=kind) as started, Caller(started.server.port) as caller:
                await started.settle()
                yield started, caller
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    async def serve(self, served: Collection | None) -> int:
        """Serve a collection's feed, and no longer the one before; the port."""
        return await self.feed.run(feed.serve, served)

    def _require(self, there: int, wanted: float, what: str) -> None:
        if there < wanted:
            raise NoRoom(f"needs {wanted / 1e9:.1f} GB of {what}, {there / 1e9:.1f} GB are free")

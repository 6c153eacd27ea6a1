"""Lives of a shard that is kept on disk, from a start to an end or a death, for the tests of that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from services.vectorsearch import wire
from services.vectorsearch.changes import Written
from services.vectorsearch.shard import Shard
from services.vectorsearch.storage.disk import Disk
from services.vectorsearch.storage.durability import Durability
from tests.vectorsearch.storage.frames import SEGMENT_ROWS, follow
from vitrine.v1 import catalog_pb2


class Life:
    """What a server does with a shard and what keeps it."""

    def __init__(
        self,
        directory: Path,
        *,
        disk: Disk | None = None,
        shards: int = 1,
        snapshot_interval_s: float = 1000.0,
        journal_sync_interval_s: float = 1000.0,
        journal_max_bytes: int = 1 << 20,
    ) -> None:
        self.shard = Shard(segment_rows=SEGMENT_ROWS)
        self.writer = ThreadPoolExecutor(1)
        self.durability = Durability(
            self.shard,
            directory,
            number=0,
            shards=shards,
            writer=self.writer,
            snapshot_interval_s=snapshot_interval_s,
            journal_sync_interval_s=journal_sync_interval_s,
            journal_max_bytes=journal_max_bytes,
            disk=disk,
        )
        self.loaded = self.durability.load()

    async def follow(self, *frames: catalog_pb2.FollowResponse) -> None:
        for frame in frames:
            await self.write(partial(self._follow, frame))

    async def scan(self, frames: Sequence[catalog_pb2.FollowResponse], *, revision: int, anew: bool) -> None:
        """Take over the products that the frames write, and no others."""
        await self.durability.begin_scan(anew=anew)
        seen: set[tuple[str, str, str]] = set()
        for frame in frames:
            changes = [wire.change_of(message) for message in frame.changes]
            seen.update(
                (change.catalog, change.generation, change.product_id)
                for change in changes
                if isinstance(change, Written)
            )
            await self.write(partial(self.shard.apply, changes, anew=anew))
        await self.write(partial(self.shard.retain, seen, revision=revision, anew=anew))
        await self.durability.end_scan()

    async def write(self, work: Callable[[], object]) -> None:
        await asyncio.get_running_loop().run_in_executor(self.writer, work)

    def _follow(self, frame: catalog_pb2.FollowResponse) -> None:
        follow(self.shard, frame)
        self.durability.record(frame)

    async def end(self) -> None:
        """As at drain."""
        await self.durability.close()
        self.writer.shutdown()

    async def die(self) -> None:
        """Without bringing anything on disk that is not."""
        await self.write(partial(self.durability._retire))
        await self.durability._sync()
        self.durability._saver.shutdown()
        self.durability._syncer.shutdown()
        self.durability._unlock()
        self.writer.shutdown()


@asynccontextmanager
async def life(directory: Path, *, dies: bool = True, disk: Disk | None = None) -> AsyncIterator[Life]:
    """A life that dies at the end, unless it ends well."""
    one = Life(directory, disk=disk)
    try:
        yield one
    finally:
        await (one.die() if dies else one.end())

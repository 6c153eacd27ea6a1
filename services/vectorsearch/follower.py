"""Keeps a shard up to date with the gateway's change feed, for as long as the process lives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import TypeVar

import structlog

from services.mesh import channel, deadline
from services.mesh.backoff import Backoff
from services.mesh.errors import InvalidArgument, OutOfRange, Unavailable, VitrineError
from services.vectorsearch import metrics, wire
from services.vectorsearch.changes import Change
from services.vectorsearch.indexes.indexing import Indexing
from services.vectorsearch.shard import Refusal, Shard
from services.vectorsearch.storage.durability import Durability
from vitrine.v1 import catalog_pb2, catalog_pb2_grpc

_log = structlog.get_logger()

Result = TypeVar("Result")

_BACKOFF_FIRST_S = 0.1

# Left of a caller's deadline to tell it that a revision was not reached, instead of letting it run out.
_ANSWER_S = 0.05


class Follower:
    """Follows the feed from the shard's revision; scans first when the log does not have it.

    A feed that is lost is connected again after a while that grows up to `backoff_max_s`, for ever;
    searches go on meanwhile. All changes are applied in `writer`, an executor of one thread, which then lets
    `durability` keep them and `indexing` look what is due. `key` says who asks, where the feed wants to know.
    """

    def __init__(
        self,
        shard: Shard,
        feed: catalog_pb2_grpc.FeedServiceAsyncStub,
        *,
        writer: Executor,
        durability: Durability,
        indexing: Indexing,
        buckets: Sequence[int] = (),
        key: str = "",
        backoff_max_s: float = 5.0,
        on_caught_up: Callable[[], None],
    ) -> None:
        self._shard = shard
        self._feed = feed
        self._writer = writer
        self._durability = durability
        self._indexing = indexing
        self._buckets = buckets
        self._key = key
        self._backoff_max_s = backoff_max_s
        self._on_caught_up = on_caught_up
        self._moved = asyncio.Condition()
        self.feed_revision = shard.revision
        self.caught_up = False
        self.following = False
        self._at_head_s = time.monotonic()

    @property
    def lag_s(self) -> float:
        """Seconds since the shard last knew itself at the head of the feed; 0.0 while it does."""
        if self.following and self.caught_up and self._shard.revision >= self.feed_revision:
            return 0.0
        return time.monotonic() - self._at_head_s

    async def run(self) -> None:
        """Follow until cancelled."""
        backoff = Backoff(initial_s=_BACKOFF_FIRST_S, max_s=self._backoff_max_s, jitter=0.5)
        scan_first = False
        while True:
            revision = self._shard.revision
            try:
                if scan_first:
                    await self._scan()
                    scan_first = False
                await self._follow()
            except OutOfRange as error:
                _log.info("the log does not reach back, scanning", revision=revision, reason=error.message)
                scan_first = True
            except VitrineError as error:
                # Once an outage, not once a try.
                tell = _log.debug if backoff.failures and not self.following else _log.warning
                tell("feed lost", error=error.message, revision=self._shard.revision)
            self._set_following(following=False)
            if self._shard.revision != revision:
                backoff.reset()
            await asyncio.sleep(backoff.next_s())

    async def reach(self, revision: int) -> None:
        """Wait until the shard reflects `revision`.

        Raises Unavailable (REVISION_NOT_REACHED) shortly before the deadline of the request in hand.
        """
        if self._shard.revision >= revision:
            return
        left_s = deadline.remaining_s(3600.0)
        try:
            async with asyncio.timeout(max(left_s - max(_ANSWER_S, left_s / 10), 0)), self._moved:
                await self._moved.wait_for(lambda: self._shard.revision >= revision)
        except TimeoutError as error:
            raise Unavailable(
                f"at revision {self._shard.revision}, not yet at {revision}", reason="REVISION_NOT_REACHED"
            ) from error

    async def _follow(self) -> None:
        request = catalog_pb2.FollowRequest(after_revision=self._shard.revision, buckets=self._buckets)
        async for frame in channel.stream(self._feed.Follow, request, key=self._key):
            self._set_following(following=True)
            self.feed_revision = frame.head_revision
            await self._write(partial(self._apply, frame))
            await self._tell()
            if self._shard.revision >= frame.head_revision:
                self._at_head_s = time.monotonic()
            if not self.caught_up and self._shard.revision >= frame.head_revision:
                self.caught_up = True
                _log.info("caught up", revision=self._shard.revision)
                self._on_caught_up()

    async def _scan(self) -> None:
        """Make the shard equal to the present state of the store."""
        seen: set[tuple[str, str, str]] = set()
        revision = None
        anew = False
        request = catalog_pb2.ScanRequest(buckets=self._buckets)
        async for frame in channel.stream(self._feed.Scan, request, key=self._key):
            if revision is None:
                revision = frame.revision
                # The log of a store that was set up anew is younger than the shard: nothing that is held
                # counts.
                anew = revision < self._shard.revision
                await self._durability.begin_scan(anew=anew)
            await self._write(partial(_apply, self._shard, frame.changes, anew=anew))
            seen.update(
                (change.catalog, change.rows.generation, change.product_id)
                for change in frame.changes
                if change.HasField("rows")
            )
        if revision is None:
            raise Unavailable("a scan without a frame")
        await self._write(partial(self._shard.retain, seen, revision=revision, anew=anew))
        await self._durability.end_scan()
        await self._write(self._indexing.look)
        self.feed_revision = revision
        await self._tell()

    def _apply(self, frame: catalog_pb2.FollowResponse) -> None:
        _apply(self._shard, frame.changes, revision=frame.revision)
        self._durability.record(frame)
        self._indexing.look()

    async def _write(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._writer, work)

    async def _tell(self) -> None:
        sizes = await self._write(self._shard.sizes)
        metrics.state(sizes, revision=self._shard.revision, feed_revision=self.feed_revision)
        async with self._moved:
            self._moved.notify_all()

    def _set_following(self, *, following: bool) -> None:
        self.following = following
        metrics.FOLLOWING.set(following)


def _apply(
    shard: Shard, messages: Iterable[catalog_pb2.Change], *, revision: int | None = None, anew: bool = False
) -> None:
    """Apply those that can be understood; the others never hold the feed up."""
    changes: list[Change] = []
    refused: list[Refusal] = []
    for message in messages:
        try:
            changes.append(wire.change_of(message))
        except InvalidArgument as error:
            refused.append(Refusal(message.catalog, message.product_id, message.revision, error))
    received = len(changes) + len(refused)
    refused += shard.apply(changes, revision=revision, anew=anew)
    metrics.CHANGES.labels("applied").inc(received - len(refused))
    metrics.CHANGES.labels("refused").inc(len(refused))
    for refusal in refused:
        _log.error(
            "change refused",
            catalog=refusal.catalog,
            product=refusal.product_id,
            revision=refusal.revision,
            error=str(refusal.error),
        )

"""The change log as a stream for shards, in frames of bounded size."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence

from services.gateway import metrics
from services.gateway.store.interface import (
    CatalogRecord,
    Entry,
    ProductChange,
    ProductKey,
    Store,
    StoredProduct,
)
from services.gateway.store.log import ChangeLog
from services.mesh.buckets import BUCKETS
from services.mesh.errors import InvalidArgument, Unavailable
from vitrine.v1 import catalog_pb2

MAX_FRAME_CHANGES = 64
MAX_FRAME_BYTES = 4 << 20


class FeedFlow:
    """Answers FeedService."""

    def __init__(self, store: Store, log: ChangeLog, *, heartbeat_s: float) -> None:
        self._store = store
        self._log = log
        self._heartbeat_s = heartbeat_s
        self._closed = asyncio.Event()

    def close(self) -> None:
        """End all feeds, so that a server that drains need not wait for them."""
        self._closed.set()

    async def follow(
        self, request: catalog_pb2.FollowRequest
    ) -> AsyncGenerator[catalog_pb2.FollowResponse, None]:
        """Frames of what came after a revision, then of what comes; one at least every heartbeat.

        Raises OutOfRange when the log does not reach there, Unavailable when the server stops.
        """
        buckets = _buckets(request.buckets)
        reached = request.after_revision
        with metrics.FEEDS.track_inprogress(), self._log.followed():
            while True:
                for entry in await self._entries(reached):
                    async for frame in self._frames(entry, reached, buckets):
                        yield frame
                    reached = entry.revision
                if reached >= self._log.head:
                    yield catalog_pb2.FollowResponse(
                        revision=reached, head_revision=max(reached, self._log.head)
                    )
                    await self._news(reached)

    async def scan(self, request: catalog_pb2.ScanRequest) -> AsyncIterator[catalog_pb2.ScanResponse]:
        """Frames of what there is; the first one tells the revision to follow from and holds nothing.

        The catalogues with their generations come first. What of a product is of no generation among these is
        left out: it is on its way out, or so new that it comes with what follows.
        """
        buckets = sorted(_buckets(request.buckets))
        revision = await self._store.applied()
        yield catalog_pb2.ScanResponse(revision=revision)
        generations: dict[str, frozenset[str]] = {}
        last = ""
        while records := await self._store.catalogs(last, MAX_FRAME_CHANGES):
            generations |= {each.catalog: frozenset(_ids(each)) for each in records}
            for frame in _bounded([_generations(each.revision, each.catalog, each) for each in records]):
                yield catalog_pb2.ScanResponse(revision=revision, changes=frame)
            last = records[-1].catalog
        after: ProductKey | None = None
        while page := await self._store.scan(buckets, after, MAX_FRAME_CHANGES):
            changes = [
                change
                for product in page
                for change in _present(product, generations.get(product.catalog, frozenset()))
            ]
            for frame in _bounded(changes):
                yield catalog_pb2.ScanResponse(revision=revision, changes=frame)
            after = page[-1].catalog, page[-1].product_id

    async def _entries(self, after: int) -> Sequence[Entry]:
        """Entries that are applied: a shard must not be ahead of what can be read of its products."""
        return [entry for entry in await self._store.entries(after) if entry.revision <= self._log.head]

    async def _frames(
        self, entry: Entry, before: int, buckets: Collection[int]
    ) -> AsyncIterator[catalog_pb2.FollowResponse]:
        """One entry; only the last of its frames reaches its revision."""
        changes = [_generations(entry.revision, change.catalog, change.record) for change in entry.catalogs]
        for change in entry.changes:
            if change.bucket in buckets:
                changes += _changes(entry.revision, change)
        frames = _bounded(changes)
        for index, frame in enumerate(frames):
            is_last = index == len(frames) - 1
            yield catalog_pb2.FollowResponse(
                changes=frame, revision=entry.revision if is_last else before, head_revision=self._log.head
            )

    async def _news(self, reached: int) -> None:
        """Wait for the log to grow, or the heartbeat; raises Unavailable when the server stops."""
        grown = asyncio.create_task(self._log.wait_past(reached, self._heartbeat_s))
        closed = asyncio.create_task(self._closed.wait())
        try:
            await asyncio.wait((grown, closed), return_when=asyncio.FIRST_COMPLETED)
            if self._closed.is_set():
                raise Unavailable("the gateway is stopping", reason="DRAINING")
            await grown
        finally:
            grown.cancel()
            closed.cancel()


def _buckets(asked: Sequence[int]) -> frozenset[int]:
    for index, bucket in enumerate(asked):
        if not 0 <= bucket < BUCKETS:
            raise InvalidArgument(f"buckets[{index}]", f"must be 0 to {BUCKETS - 1}")
    return frozenset(asked or range(BUCKETS))


def _bounded(changes: Sequence[catalog_pb2.Change]) -> list[list[catalog_pb2.Change]]:
    """Changes in frames of bounded number and size."""
    frames: list[list[catalog_pb2.Change]] = []
    size_bytes = 0
    for change in changes:
        size_bytes += change.ByteSize()
        if not frames or len(frames[-1]) == MAX_FRAME_CHANGES or size_bytes > MAX_FRAME_BYTES:
            frames.append([])
            size_bytes = change.ByteSize()
        frames[-1].append(change)
    return frames


def _generations(revision: int, catalog: str, record: CatalogRecord | None) -> catalog_pb2.Change:
    """Which generations a catalogue has from now on."""
    message = catalog_pb2.Change(revision=revision, catalog=catalog)
    message.catalog_generations.SetInParent()
    message.catalog_generations.generations.extend(_ids(record))
    return message


def _ids(record: CatalogRecord | None) -> list[str]:
    """The generations that shards keep of a catalogue, also those that are being built."""
    return [each.generation.id for each in record.generations] if record and not record.is_deleting else []


def _changes(revision: int, change: ProductChange) -> list[catalog_pb2.Change]:
    """What became of a product, once for each generation that it was written for."""
    made = catalog_pb2.Change(
        revision=revision, catalog=change.catalog, product_id=change.product_id, bucket=change.bucket
    )
    if change.product is None:
        made.tombstone.SetInParent()
        return [made]
    attributes = _attributes(change.product)
    if not change.rows:
        made.attributes.CopyFrom(attributes)
        return [made]
    messages = []
    for rows in change.rows.values():
        message = catalog_pb2.Change()
        message.CopyFrom(made)
        message.rows.MergeFromString(rows)
        message.rows.attributes.CopyFrom(attributes)
        messages.append(message)
    return messages


def _present(product: StoredProduct, generations: Collection[str]) -> list[catalog_pb2.Change]:
    """A product as it is now in those of the generations that it has rows of."""
    rows = {name: each for name, each in product.rows.items() if name in generations}
    change = ProductChange(product.catalog, product.product_id, product.product, rows)
    return _changes(product.revision, change) if rows else []


def _attributes(product: bytes) -> catalog_pb2.RowAttributes:
    message = catalog_pb2.Product.FromString(product)
    return catalog_pb2.RowAttributes(attributes=message.attributes, labels=message.labels)

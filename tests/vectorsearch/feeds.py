"""A change feed in this process, over real gRPC, that can be cut, cut short and set up anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio

from vitrine.v1 import catalog_pb2, catalog_pb2_grpc


class Feed(catalog_pb2_grpc.FeedServiceServicer):
    def __init__(self) -> None:
        self.log: list[catalog_pb2.Change] = []
        # The log reaches back to after this revision.
        self.oldest = 0
        self.head = 0
        self.products: dict[str, catalog_pb2.Change] = {}
        self.catalogs: dict[str, catalog_pb2.Change] = {}
        self.follows: list[tuple[int, list[int]]] = []
        self.scans = 0
        # Follow ends after so many frames, when set.
        self.frames_a_stream: int | None = None
        self._grown = asyncio.Condition()

    async def add(self, *changes: catalog_pb2.Change) -> None:
        for change in changes:
            self.log.append(change)
            self.head = change.revision
            kind = change.WhichOneof("kind")
            if kind == "catalog_generations":
                self.catalogs[change.catalog] = change
            elif kind == "tombstone":
                self.products.pop(change.product_id, None)
            else:
                self.products[change.product_id] = change
        async with self._grown:
            self._grown.notify_all()

    def forget(self, revision: int) -> None:
        """Let the log reach back to after `revision` only."""
        self.oldest = revision
        self.log = [change for change in self.log if change.revision > revision]

    def reset(self) -> None:
        """A store that was set up anew."""
        self.log, self.products, self.catalogs, self.oldest, self.head = [], {}, {}, 0, 0

    async def Follow(
        self, request: catalog_pb2.FollowRequest, context: Any
    ) -> AsyncIterator[catalog_pb2.FollowResponse]:
        self.follows.append((request.after_revision, list(request.buckets)))
        at = request.after_revision
        if not self.oldest <= at <= self.head:
            await context.abort(grpc.StatusCode.OUT_OF_RANGE, f"the log has {self.oldest} to {self.head}")
        frames = 0
        while True:
            changes = [change for change in self.log if change.revision > at][:3]
            at = changes[-1].revision if changes else self.head
            yield catalog_pb2.FollowResponse(changes=changes, revision=at, head_revision=self.head)
            frames += 1
            if frames == self.frames_a_stream:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "cut")
            async with self._grown:
                while self.head <= at:
                    await self._grown.wait()

    async def Scan(
        self, request: catalog_pb2.ScanRequest, context: Any
    ) -> AsyncIterator[catalog_pb2.ScanResponse]:
        self.scans += 1
        revision = self.head
        yield catalog_pb2.ScanResponse(revision=revision)
        for change in [*self.catalogs.values(), *self.products.values()]:
            yield catalog_pb2.ScanResponse(revision=revision, changes=[change])


@asynccontextmanager
async def serving(feed: Feed, port: int = 0) -> AsyncIterator[int]:
    """Serve `feed`; the port."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    catalog_pb2_grpc.add_FeedServiceServicer_to_server(feed, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)

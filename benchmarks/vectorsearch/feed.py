"""The change feed that a shard follows. In a process of its own, so that it writes while others search.

The functions are the tasks of a pool of one process: `serve` first.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NoReturn

import grpc

from benchmarks.vectorsearch.collection import Collection
from benchmarks.vectorsearch.messages import Changes
from vitrine.v1 import catalog_pb2, catalog_pb2_grpc

# As the gateway's.
_FRAME_CHANGES = 64
# Writes that came meanwhile go out together.
_TICK_S = 0.01
# After this long a stream looks whether somebody still listens.
_LISTEN_S = 1.0
_STREAMS = 16


@dataclass(frozen=True, slots=True)
class Written:
    """What `write` did: so many upserts, at this rate, the last with this revision."""

    upserts: int
    per_s: float
    revision: int


class Feed(catalog_pb2_grpc.FeedServiceServicer):
    """A collection as the present state, and a log of what was written since.

    A scan gives the collection as it was before any write. Without a collection there is nothing.
    """

    def __init__(self, collection: Collection | None) -> None:
        self.rows = collection.rows if collection else 0
        self.changes = Changes(collection) if collection else None
        self._log: list[catalog_pb2.Change] = []
        self._grown = threading.Condition()

    @property
    def head(self) -> int:
        """The revision of the last change: row 0 was written with revision 1."""
        return self.rows + len(self._log)

    def add(self, changes: list[catalog_pb2.Change]) -> None:
        """Append to the log."""
        with self._grown:
            self._log += changes
            self._grown.notify_all()

    def Follow(  # noqa: N802 - gRPC's name
        self, request: catalog_pb2.FollowRequest, context: Any
    ) -> Iterator[catalog_pb2.FollowResponse]:
        """See the proto."""
        at = request.after_revision
        if not self.rows <= at <= self.head:
            _out_of_range(context, f"the log has {self.rows} to {self.head}")
        told = -1
        while context.is_active():
            with self._grown:
                if told == self.head:
                    self._grown.wait(_LISTEN_S)
                start = at - self.rows
                changes, head = self._log[start : start + _FRAME_CHANGES], self.head
            at += len(changes)
            if changes or told < 0:
                yield catalog_pb2.FollowResponse(changes=changes, revision=at, head_revision=head)
            told = at

    def Scan(  # noqa: N802 - gRPC's name
        self, _request: catalog_pb2.ScanRequest, _context: Any
    ) -> Iterator[catalog_pb2.ScanResponse]:
        """See the proto."""
        yield catalog_pb2.ScanResponse(revision=self.rows)
        for start in range(0, self.rows, _FRAME_CHANGES):
            assert self.changes is not None
            rows = range(start, min(start + _FRAME_CHANGES, self.rows))
            frame = [self.changes.write(row, row + 1) for row in rows]
            yield catalog_pb2.ScanResponse(revision=self.rows, changes=frame)


_serving: tuple[Feed, grpc.Server] | None = None


def serve(collection: Collection | None) -> int:
    """Serve a collection, and no longer the one before; the port."""
    global _serving  # noqa: PLW0603 - tasks of a pool share nothing but the module they are in
    if _serving is not None:
        _serving[1].stop(None).wait()
    feed = Feed(collection)
    server = grpc.server(ThreadPoolExecutor(_STREAMS), options=[("grpc.so_reuseport", 0)])
    catalog_pb2_grpc.add_FeedServiceServicer_to_server(feed, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    _serving = (feed, server)
    return port


def write(rate: float, seconds: float, seed: int) -> Written:
    """Upsert random products, each with the vectors of another, at `rate` a second."""
    assert _serving is not None
    feed, _ = _serving
    assert feed.changes is not None
    chance, head = random.Random(seed), feed.head
    # Made beforehand: the processor's time is for the shard.
    changes = [
        feed.changes.write(
            chance.randrange(feed.rows), head + number + 1, vectors_of=chance.randrange(feed.rows)
        )
        for number in range(round(rate * seconds))
    ]
    start, sent = time.perf_counter(), 0
    while sent < len(changes):
        time.sleep(_TICK_S)
        due = min(round((time.perf_counter() - start) * rate), len(changes))
        if due > sent:
            feed.add(changes[sent:due])
            sent = due
    return Written(sent, sent / (time.perf_counter() - start), feed.head)


def _out_of_range(context: Any, message: str) -> NoReturn:
    context.abort(grpc.StatusCode.OUT_OF_RANGE, message)
    raise AssertionError

"""Builds approximate indexes in the background, one at a time, and gives way to searches meanwhile."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import faiss
import structlog

from services.mesh.backoff import Backoff
from services.vectorsearch import metrics
from services.vectorsearch.indexes.approximate import ApproximateIndex, build
from services.vectorsearch.indexes.kinds import ApproximateKind, Kind, is_approximate
from services.vectorsearch.indexes.source import Source, Stopped

# An index is built anew when, beside the rows in it, there are more than this share of rows after it or of
# rows in it that died.
MAX_TAIL_SHARE = 0.2
MAX_DEAD_SHARE = 0.2

_NICE = 10
_BACKOFF_FIRST_S = 1.0
_BACKOFF_MAX_S = 300.0

_log = structlog.get_logger(__name__)


class Key(NamedTuple):
    """What has an index of its own."""

    catalog: str
    generation: str
    space: str


@dataclass(frozen=True, slots=True)
class Order:
    """An index to be built. The source holds memory until it is."""

    key: Key
    kind: ApproximateKind
    source: Source


class Build(Protocol):
    """Builds an index; raises Stopped soon after `stopping` says so."""

    def __call__(
        self, kind: ApproximateKind, source: Source, *, stopping: Callable[[], bool]
    ) -> ApproximateIndex:
        """The index."""
        ...


def due(kind: Kind, index: ApproximateIndex | None, *, tail_rows: int, dead_rows: int) -> bool:
    """Whether an index of this kind has to be built, given that in use.

    `tail_rows` are alive and not in it, `dead_rows` are in it and died.
    """
    if not is_approximate(kind):
        return False
    return (
        index is None
        or index.kind != kind
        or tail_rows > MAX_TAIL_SHARE * index.rows
        or dead_rows > MAX_DEAD_SHARE * index.rows
    )


class IndexBuilder:
    """One thread that builds what was ordered, in turn.

    `publish` is called in that thread with each order and its index, and passes over one that nobody wants
    any more. A build or a publication that fails is logged and tried again after a while that grows; others
    go on meanwhile.
    """

    def __init__(
        self,
        publish: Callable[[Order, ApproximateIndex], None],
        *,
        build: Build = build,
        new_backoff: Callable[[], Backoff] = lambda: Backoff(
            initial_s=_BACKOFF_FIRST_S, max_s=_BACKOFF_MAX_S, jitter=0.5
        ),
    ) -> None:
        self._publish = publish
        self._build = build
        self._new_backoff = new_backoff
        self._changed = threading.Condition()
        self._stopping = False
        # In the order in which they came; one a key.
        self._waiting: dict[Key, Order] = {}
        self._building: Key | None = None
        # Whether what is being built shall be given up.
        self._cancelled = False
        # Of keys whose last build failed: how long to wait, and until when.
        self._failing: dict[Key, tuple[Backoff, float]] = {}
        self._thread = threading.Thread(target=self._serve, name="index-builder", daemon=True)
        self._thread.start()

    def order(self, order: Order) -> None:
        """Have an index built, in place of what waits for its key. Ask `pending` before making a source."""
        with self._changed:
            self._waiting[order.key] = order
            self._changed.notify()

    def cancel(self, key: Key) -> None:
        """Build nothing for a key; a build under way is given up."""
        with self._changed:
            self._waiting.pop(key, None)
            self._failing.pop(key, None)
            self._cancelled |= key == self._building

    def pending(self, key: Key) -> bool:
        """Whether an index was ordered and is neither published nor cancelled yet."""
        with self._changed:
            return key in self._waiting or key == self._building

    def building(self, key: Key) -> bool:
        """Whether an index is being built right now."""
        with self._changed:
            return key == self._building

    def stop(self) -> None:
        """End the thread; a build under way is given up."""
        with self._changed:
            self._stopping = self._cancelled = True
            self._changed.notify()
        self._thread.join()

    def _serve(self) -> None:
        faiss.omp_set_num_threads(1)
        # Elsewhere a thread has no niceness of its own, and its number may be that of a process.
        if sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while self._serve_one():
            pass

    def _take(self) -> Order | None:
        """The next order that may be tried, once there is one; None to stop."""
        with self._changed:
            while not self._stopping:
                now = time.monotonic()
                ready_at = {
                    key: self._failing[key][1] if key in self._failing else now for key in self._waiting
                }
                ready = [key for key, at in ready_at.items() if at <= now]
                if ready:
                    self._building, self._cancelled = ready[0], False
                    return self._waiting.pop(ready[0])
                self._changed.wait(min(ready_at.values()) - now if ready_at else None)
            return None

    def _serve_one(self) -> bool:
        """Build the next; False to stop. An order is not held while the next one is waited for."""
        order = self._take()
        if order is None:
            return False
        try:
            index = self._build(order.kind, order.source, stopping=lambda: self._cancelled)
            self._publish(order, index)
        except Stopped:
            metrics.INDEX_BUILDS.labels("stopped").inc()
        except Exception as error:  # noqa: BLE001 - one that cannot be built must not keep others from it
            metrics.INDEX_BUILDS.labels("failed").inc()
            _log.exception("index not built", **order.key._asdict(), kind=order.kind, error=str(error))
            self._put_off(order)
            return True
        else:
            _count(order, index)
        with self._changed:
            self._failing.pop(order.key, None)
            self._building = None
        return True

    def _put_off(self, order: Order) -> None:
        with self._changed:
            self._building = None
            if self._cancelled:
                return
            backoff, _ = self._failing.get(order.key, (self._new_backoff(), 0.0))
            self._failing[order.key] = (backoff, time.monotonic() + backoff.next_s())
            # One that came meanwhile is newer.
            self._waiting.setdefault(order.key, order)


def _count(order: Order, index: ApproximateIndex) -> None:
    metrics.INDEX_BUILDS.labels("ok").inc()
    metrics.INDEX_BUILD_SECONDS.observe(index.build_s)
    metrics.INDEX_RECALL.labels(order.key.space, order.kind, "10").set(index.recall_at_10)
    metrics.INDEX_RECALL.labels(order.key.space, order.kind, "100").set(index.recall_at_100)
    _log.info(
        "index built",
        **order.key._asdict(),
        kind=order.kind,
        rows=index.rows,
        mib=round(index.nbytes / 2**20, 1),
        reach=index.reach,
        recall_at_10=round(index.recall_at_10, 4),
        recall_at_100=round(index.recall_at_100, 4),
        build_s=round(index.build_s, 1),
    )

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import faiss
import pytest

from services.mesh.backoff import Backoff
from services.vectorsearch.indexes.approximate import ApproximateIndex, build
from services.vectorsearch.indexes.building import Build, IndexBuilder, Key, Order, due
from services.vectorsearch.indexes.kinds import ApproximateKind, Kind
from services.vectorsearch.indexes.source import Source, Stopped
from tests.vectorsearch.indexes import sources

# Builds give way to all else that the machine does.
WAIT_S = 300
SHOP, OTHER = Key("shop", "g1", "clip"), Key("shop", "g1", "resnet50")


@pytest.fixture(scope="module")
def source() -> Source:
    return sources.source(600)


@pytest.fixture(scope="module")
def index(source: Source) -> ApproximateIndex:
    return build("ivf", source)


class Published:
    """What a builder has published, and waiting for it."""

    def __init__(self, *, refusals: int = 0) -> None:
        self.all: list[tuple[Key, ApproximateIndex]] = []
        self._refusals = refusals
        self._came = threading.Semaphore(0)

    def __call__(self, order: Order, index: ApproximateIndex) -> None:
        if self._refusals:
            self._refusals -= 1
            raise RuntimeError("not now")
        self.all.append((order.key, index))
        self._came.release()

    def wait(self) -> tuple[Key, ApproximateIndex]:
        assert self._came.acquire(timeout=WAIT_S)
        return self.all[-1]


class Gate:
    """Builds `index` when it is let through, and stops when it is told to."""

    def __init__(self, index: ApproximateIndex) -> None:
        self._index = index
        self.began = threading.Semaphore(0)
        self.through = threading.Semaphore(0)
        self.sources: list[Source] = []

    def __call__(
        self, kind: ApproximateKind, source: Source, *, stopping: Callable[[], bool]
    ) -> ApproximateIndex:
        self.sources.append(source)
        self.began.release()
        while not self.through.acquire(timeout=0.01):
            if stopping():
                raise Stopped
        return self._index


@pytest.fixture
def running() -> Iterator[Callable[..., IndexBuilder]]:
    """Makes builders, and stops them in the end."""
    made: list[IndexBuilder] = []

    def make(publish: Published, build: Build = build) -> IndexBuilder:
        made.append(IndexBuilder(publish, build=build, new_backoff=lambda: Backoff(initial_s=0.001)))
        return made[-1]

    yield make
    for builder in made:
        builder.stop()


def test_an_index_is_built_and_published(running: Callable[..., IndexBuilder], source: Source) -> None:
    """What was ordered is built over its rows, and is pending until it is published."""
    published = Published()
    builder = running(published)
    builder.order(Order(SHOP, "hnsw", source))
    key, index = published.wait()
    assert (key, index.kind, index.rows) == (SHOP, "hnsw", source.rows)


def test_pending_until_published(
    running: Callable[..., IndexBuilder], source: Source, index: ApproximateIndex
) -> None:
    """One index is built at a time; the others of the queue are pending and not being built."""
    published, gate = Published(), Gate(index)
    builder = running(published, gate)
    assert not builder.pending(SHOP)
    builder.order(Order(SHOP, "ivf", source))
    assert gate.began.acquire(timeout=WAIT_S)
    builder.order(Order(OTHER, "ivf", source))
    assert builder.pending(SHOP)
    assert builder.building(SHOP)
    assert builder.pending(OTHER)
    assert not builder.building(OTHER)
    gate.through.release(2)
    published.wait()
    published.wait()
    assert [key for key, _ in published.all] == [SHOP, OTHER]


def test_the_newest_order_of_a_key_counts(
    running: Callable[..., IndexBuilder], source: Source, index: ApproximateIndex
) -> None:
    """An order that waits is replaced by a later one of the same key."""
    published, gate = Published(), Gate(index)
    builder = running(published, gate)
    builder.order(Order(SHOP, "ivf", source))
    assert gate.began.acquire(timeout=WAIT_S)
    newest = replace(source, end_row=source.end_row + 1)
    builder.order(Order(OTHER, "ivf", source))
    builder.order(Order(OTHER, "ivf", newest))
    gate.through.release(2)
    published.wait()
    published.wait()
    assert gate.sources == [source, newest]


def test_a_build_that_fails_is_tried_again(
    running: Callable[..., IndexBuilder], source: Source, index: ApproximateIndex
) -> None:
    """The order is kept, others go on, and in the end it succeeds."""
    failures = iter([MemoryError("no more"), ValueError("bad")])

    def build(kind: ApproximateKind, source: Source, *, stopping: Callable[[], bool]) -> ApproximateIndex:
        if kind == "hnsw" and (failure := next(failures, None)):
            raise failure
        return index

    published = Published()
    builder = running(published, build)
    builder.order(Order(SHOP, "hnsw", source))
    builder.order(Order(OTHER, "ivf", source))
    published.wait()
    published.wait()
    assert {key for key, _ in published.all} == {SHOP, OTHER}


def test_a_publication_that_fails_is_tried_again(
    running: Callable[..., IndexBuilder], source: Source, index: ApproximateIndex
) -> None:
    """The thread survives what publishing raises."""
    published, gate = Published(refusals=1), Gate(index)
    builder = running(published, gate)
    gate.through.release(2)
    builder.order(Order(SHOP, "ivf", source))
    published.wait()
    assert len(gate.sources) == 2


def test_a_key_that_is_cancelled_is_given_up(
    running: Callable[..., IndexBuilder], source: Source, index: ApproximateIndex
) -> None:
    """Neither what is being built nor what waits is published, and the next order is."""
    published, gate = Published(), Gate(index)
    builder = running(published, gate)
    builder.order(Order(SHOP, "ivf", source))
    assert gate.began.acquire(timeout=WAIT_S)
    builder.order(Order(OTHER, "ivf", source))
    builder.cancel(OTHER)
    builder.cancel(SHOP)
    third = Key("shop", "g2", "clip")
    builder.order(Order(third, "ivf", source))
    assert gate.began.acquire(timeout=WAIT_S)
    gate.through.release()
    published.wait()
    assert [key for key, _ in published.all] == [third]


def test_stopping_gives_up_the_build(source: Source, index: ApproximateIndex) -> None:
    """The thread ends, whatever it is doing, and nothing is published."""
    published, gate = Published(), Gate(index)
    builder = IndexBuilder(published, build=gate)
    builder.order(Order(SHOP, "ivf", source))
    assert gate.began.acquire(timeout=WAIT_S)
    builder.stop()
    assert not published.all
    assert not any(thread.name == "index-builder" for thread in threading.enumerate())


@pytest.mark.skipif(sys.platform != "linux", reason="niceness of a thread is Linux's")
def test_a_build_gives_way(
    running: Callable[..., IndexBuilder], source: Source, index: ApproximateIndex
) -> None:
    """It runs at a lower priority than the process, in one thread."""
    seen: list[tuple[int, int]] = []

    def build(kind: ApproximateKind, source: Source, *, stopping: Callable[[], bool]) -> ApproximateIndex:
        priority = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        seen.append((priority, faiss.omp_get_max_threads()))
        return index

    published = Published()
    running(published, build).order(Order(SHOP, "ivf", source))
    published.wait()
    (priority, threads), own = (
        seen[0],
        os.getpriority(os.PRIO_PROCESS, threading.main_thread().native_id or 0),
    )
    assert threads == 1
    assert priority > own


@pytest.mark.parametrize(
    ("kind", "built", "tail_rows", "dead_rows", "expected"),
    [
        ("flat16", None, 10_000, 0, False),
        ("flat16", "ivf", 10_000, 10_000, False),
        ("ivf", None, 0, 0, True),
        ("ivf", "ivf", 0, 0, False),
        ("ivf", "ivf", 200, 200, False),
        ("ivf", "ivf", 201, 0, True),
        ("ivf", "ivf", 0, 201, True),
        ("hnsw", "ivf", 0, 0, True),
    ],
)
def test_when_an_index_is_due(
    index: ApproximateIndex,
    kind: Kind,
    built: ApproximateKind | None,
    tail_rows: int,
    dead_rows: int,
    expected: bool,
) -> None:
    """Where there is none of that kind, or where a fifth beside its rows came or died since."""
    held = None if built is None else replace(index, kind=built, rows=1000)
    assert due(kind, held, tail_rows=tail_rows, dead_rows=dead_rows) == expected

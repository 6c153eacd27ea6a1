from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from services.vectorsearch import metrics
from services.vectorsearch.changes import Retained
from services.vectorsearch.indexes import indexing, kinds
from services.vectorsearch.indexes.approximate import ApproximateIndex, build
from services.vectorsearch.indexes.devices import Devices
from services.vectorsearch.indexes.kinds import EXACT_DEFAULT, ApproximateKind
from services.vectorsearch.indexes.source import Source, Stopped
from services.vectorsearch.search import Query
from tests.vectorsearch.feeds import Feed, serving
from tests.vectorsearch.indexes import crowds, sources
from tests.vectorsearch.indexes.crowds import WAIT_S, Crowd, asks, crowd
from tests.vectorsearch.products import DIMENSIONS, change_message, simple
from tests.vectorsearch.test_server import request_for, running
from vitrine.v1 import vectorsearch_pb2

# As many as tell all apart, and no more: how well indexes find is held elsewhere.
SEGMENT, MIN_ROWS = 200, 1000
ROWS = 10 * SEGMENT


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "MIN_ROWS", MIN_ROWS)
    monkeypatch.setattr(crowds, "SEGMENT", SEGMENT)


class Gate:
    """Builds as ever, once it is let through."""

    def __init__(self) -> None:
        self.began = threading.Semaphore(0)
        self.through = threading.Semaphore(0)

    def __call__(
        self,
        kind: ApproximateKind,
        source: Source,
        *,
        stopping: Callable[[], bool],
        devices: Devices | None = None,
    ) -> ApproximateIndex:
        self.began.release()
        while not self.through.acquire(timeout=0.01):
            if stopping():
                raise Stopped
        return build(kind, source, stopping=stopping, devices=devices)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate()
    monkeypatch.setattr(indexing, "build", gate)
    return gate


def plan_of(its: Crowd) -> str:
    """How a photo that is held is searched for."""
    vector = next(iter(its.held["clip"].values()))
    (found,) = its.search(Query(asks({"clip": vector}), 10, approximately=True))
    return found.plan


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_an_index_comes_with_the_first_row_that_is_worth_it(kind: str) -> None:
    """With one row fewer there is none; with that row it is built, told, and searches use it."""
    with crowd(kind, MIN_ROWS - 1) as its:
        its.look()
        state = its.state()
        assert (state.kind, state.index, state.building) == (EXACT_DEFAULT, None, False)
        assert plan_of(its) == "flat"
        its.write(MIN_ROWS - 1, clip=sources.vectors(1, seed=7))
        assert plan_of(its) == "flat"
        its.look()
        state = its.state()
        assert state.index is not None
        assert (state.kind, state.index.kind, state.index.rows) == (kind, kind, MIN_ROWS)
        assert state.index.recall_at_10 >= 0.98
        assert plan_of(its) == "index"


@pytest.mark.parametrize("kind", ["flat", "flat16", "sq8"])
def test_exact_kinds_have_no_index(kind: str) -> None:
    """However many rows there are, nothing is ordered, and the kind that is told is the one that was set."""
    with crowd(kind, ROWS) as its:
        its.indexing.look()
        state = its.state()
        assert (state.kind, state.index, state.building) == (kind, None, False)
        assert plan_of(its) == "flat"


def test_auto_has_an_index_beyond_its_limit() -> None:
    """Up to as many rows as were set `auto` is exact, and with one more it is IVF."""
    with crowd("auto", ROWS, auto_flat_rows=ROWS) as its:
        its.look()
        assert its.state().kind == EXACT_DEFAULT
        its.write(ROWS, clip=sources.vectors(1, seed=7))
        its.look()
        assert its.state().kind == "ivf"


def test_one_order_at_a_time(gate: Gate) -> None:
    """While an index is on its way the space is told to be building, and is not ordered again."""
    with crowd("ivf", MIN_ROWS) as its:
        its.indexing.look()
        assert gate.began.acquire(timeout=WAIT_S)
        its.write(MIN_ROWS, clip=sources.vectors(MIN_ROWS, seed=7))
        its.indexing.look()
        state = its.state()
        assert (state.kind, state.index, state.building) == (EXACT_DEFAULT, None, True)
        gate.through.release()
        its.wait()
        assert not gate.began.acquire(blocking=False)
        assert getattr(its.state().index, "rows", 0) == MIN_ROWS
        # What came meanwhile is more than a fifth.
        gate.through.release()
        its.look()
        assert getattr(its.state().index, "rows", 0) == 2 * MIN_ROWS


def test_an_index_is_built_anew_when_a_fifth_came_after_it() -> None:
    """A tail of a fifth is searched beside it; with one row more there is a new index over all."""
    with crowd("ivf", ROWS) as its:
        its.look()
        first = its.state().index
        assert first is not None
        its.write(ROWS, clip=sources.vectors(ROWS // 5, seed=7))
        its.look()
        assert its.state().index is first
        its.write(ROWS + ROWS // 5, clip=sources.vectors(1, seed=8))
        its.look()
        second = its.state().index
        assert second is not None
        assert (second.rows, second.end_row) == (ROWS + ROWS // 5 + 1, ROWS + ROWS // 5 + 1)


def test_an_index_is_built_anew_when_a_fifth_of_its_rows_died() -> None:
    """Up to a fifth dead rows are passed over; with one more there is a new index of the living."""
    # The last segment is not full, so it is never compacted and no row moves.
    rows = ROWS + SEGMENT // 2
    with crowd("ivf", rows) as its:
        its.look()
        first = its.state().index
        assert first is not None
        spread = [number for number in range(ROWS) if number % SEGMENT < SEGMENT // 5]
        its.delete(spread)
        its.delete(range(ROWS, ROWS + rows // 5 - len(spread)))
        its.look()
        assert its.state().index is first
        assert its.rows.dead_rows == rows // 5
        its.delete([rows - 1])
        its.look()
        second = its.state().index
        assert second is not None
        assert second is not first
        assert second.rows == len(its.held["clip"]) == rows - rows // 5 - 1


def test_rows_that_compaction_moved_count_as_dead_and_as_come() -> None:
    """An index is built anew when its segments are gone, though no product came or went."""
    with crowd("ivf", ROWS) as its:
        its.look()
        first = its.state().index
        its.delete(range(0, 3 * SEGMENT, SEGMENT))
        assert its.shard.compact().rows == 3 * (SEGMENT - 1)
        its.look()
        second = its.state().index
        assert second is not None
        assert second is not first
        assert second.rows == ROWS - 3


def test_an_index_that_is_not_wanted_any_more_is_dropped() -> None:
    """Below the least rows an index stays for a while, lest it come and go; then it goes, with its bytes."""
    with crowd("ivf", MIN_ROWS) as its:
        its.look()
        index = its.state().index
        assert index is not None
        assert metrics.INDEX_BYTES.labels("clip", "ivf")._value.get() == index.nbytes
        # So few that 1.25 times as many are just enough.
        kept = -(-MIN_ROWS * 4 // 5)
        its.delete(range(kept, MIN_ROWS))
        its.look()
        assert its.state().index is not None
        its.delete([0])
        its.look()
        assert (its.state().kind, its.state().index) == (EXACT_DEFAULT, None)
        assert [each.samples for each in metrics.INDEX_BYTES.collect()] == [[]]
        assert plan_of(its) == "flat"
        # One that is not there has no grace.
        its.write(0, clip=sources.vectors(1, seed=7))
        its.look()
        assert its.state().index is None


def test_what_is_being_built_is_given_up_when_it_is_not_wanted_any_more(gate: Gate) -> None:
    """The order of an index is cancelled with the rows that it was for."""
    with crowd("ivf", MIN_ROWS) as its:
        its.indexing.look()
        assert gate.began.acquire(timeout=WAIT_S)
        its.delete([0])
        its.look()
        assert (its.state().index, its.state().building) == (None, False)
        its.write(0, clip=sources.vectors(1, seed=7))
        gate.through.release()
        its.look()
        assert its.state().index is not None


def test_an_index_goes_with_its_generation() -> None:
    """Its bytes are counted no longer, and what is created in its place begins without."""
    with crowd("ivf", MIN_ROWS) as its:
        its.look()
        assert its.state().index is not None
        its.shard.apply([Retained("shop", its.revision, frozenset())])
        its.look()
        assert its.indexing.states() == {}
        assert [each.samples for each in metrics.INDEX_BYTES.collect()] == [[]]
        its.write(0, clip=sources.vectors(1, seed=7))
        its.look()
        assert its.state().index is None


def test_what_is_built_for_a_generation_that_went_is_not_used(gate: Gate) -> None:
    """A catalogue that is deleted and created anew meanwhile gets an index of its own rows."""
    with crowd("ivf", MIN_ROWS) as its:
        its.indexing.look()
        assert gate.began.acquire(timeout=WAIT_S)
        its.shard.apply([Retained("shop", its.revision, frozenset())])
        its.held.clear()
        its.write(0, clip=sources.vectors(2 * MIN_ROWS, seed=7))
        # Before the builder hears of it, the old index is done.
        gate.through.release()
        its.wait()
        assert its.state().index is None
        gate.through.release()
        its.look()
        assert getattr(its.state().index, "rows", 0) == 2 * MIN_ROWS


def test_every_space_has_its_own() -> None:
    """Kinds are by space; one with few vectors has none, however many rows there are."""
    with crowd("clip=ivf,triplet=hnsw,rare=ivf,resnet50=sq8") as its:
        every = sources.vectors(MIN_ROWS)
        its.write(0, clip=every, triplet=every[:, ::-1].copy(), resnet50=every)
        its.write(MIN_ROWS, rare=sources.vectors(20))
        its.look()
        found = {key.space: state for key, state in its.indexing.states().items()}
        assert {space: state.kind for space, state in found.items()} == {
            "clip": "ivf",
            "triplet": "hnsw",
            "resnet50": "sq8",
            "rare": EXACT_DEFAULT,
        }
        assert {space: state.index.rows for space, state in found.items() if state.index} == {
            "clip": MIN_ROWS,
            "triplet": MIN_ROWS,
        }


def test_stopping_leaves_what_there_is(gate: Gate) -> None:
    """A build under way is given up; an index that is there is searched as before."""
    with crowd("ivf", MIN_ROWS) as its:
        gate.through.release()
        its.look()
        its.write(MIN_ROWS, clip=sources.vectors(MIN_ROWS, seed=7))
        assert gate.began.acquire(timeout=WAIT_S)
        its.indexing.look()
        assert gate.began.acquire(timeout=WAIT_S)
        its.indexing.stop()
        assert getattr(its.state().index, "rows", 0) == MIN_ROWS
        assert plan_of(its) == "index"


async def test_a_server_tells_how_it_searches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gate: Gate
) -> None:
    """Kind, rows, recall, bytes and whether an index is being built are in the status, plans in answers."""
    monkeypatch.setattr(kinds, "MIN_ROWS", 300)
    feed = Feed()
    await feed.add(*(change_message(simple(number, number + 1)) for number in range(310)))

    async with serving(feed) as port, running(monkeypatch, tmp_path, port, index_kinds="clip=ivf") as shard:

        async def clip() -> tuple[vectorsearch_pb2.ShardGeneration, vectorsearch_pb2.SpaceIndex]:
            status = await shard.stub.GetShardStatus(vectorsearch_pb2.GetShardStatusRequest())
            (generation,) = status.catalogs[0].generations
            (index,) = (each for each in generation.indexes if each.space == "clip")
            return generation, index

        request = request_for(3, min_revision=310)
        del request.queries[2], request.queries[0]
        assert [each.vector.space for each in request.queries] == ["clip"]
        before = await shard.search(request)
        # Done by the writer, so all that was applied is packed when it is.
        await shard.stub.CompactShard(vectorsearch_pb2.CompactShardRequest())
        generation, index = await clip()
        assert before.plan == "flat"
        assert (index.kind, index.building) == (EXACT_DEFAULT, True)
        assert (index.indexed_rows, index.index_bytes) == (0, 0)
        assert (index.recall_at_10, index.recall_at_100) == (1, 1)
        bytes_before = generation.memory_bytes

        gate.through.release()
        async with asyncio.timeout(WAIT_S):
            while (await clip())[1].building:  # noqa: ASYNC110 - a status is asked for again and again
                await asyncio.sleep(0.005)
        generation, index = await clip()
        assert (index.kind, index.dimension) == ("ivf", DIMENSIONS["clip"])
        assert 300 <= index.indexed_rows <= 310
        assert 0.98 <= index.recall_at_10 <= 1
        assert 0 < index.recall_at_100 <= 1
        assert index.index_bytes > index.indexed_rows * DIMENSIONS["clip"]
        assert generation.memory_bytes - bytes_before == index.index_bytes
        after = await shard.search(request)
        assert after.plan == "index"
        assert after.candidates.product_ids[0] == "p3"
        request.exact = True
        exact = await shard.search(request)
        assert exact.plan == "flat"
        np.testing.assert_array_equal(
            np.frombuffer(exact.candidates.spaces[0].cosines, "<f4"),
            np.frombuffer(before.candidates.spaces[0].cosines, "<f4"),
        )

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.mesh.batching.batch_queue import BatchLimits
from services.mesh.batching.call import Job, Priority
from services.mesh.batching.durations import Durations
from services.mesh.batching.metrics import StageMetrics
from services.mesh.batching.stage import MIN_PATIENCE_S, Stage
from services.mesh.errors import DeadlineExceeded, InvalidArgument, Unavailable, VitrineError
from tests.mesh.batching.jobs import call, put_all
from tests.patience import until

Work = Callable[[Any, list[Any]], Sequence[Any]]


class Gate:
    """Work that doubles numbers once it is let through; remembers its batches."""

    def __init__(self, *, shut: bool = False) -> None:
        self.batches: list[list[Any]] = []
        self.open = threading.Event()
        self.entered = threading.Semaphore(0)
        if not shut:
            self.open.set()

    def __call__(self, _kind: Any, items: list[Any]) -> list[Any]:
        self.batches.append(list(items))
        self.entered.release()
        assert self.open.wait(60)
        return [2 * item for item in items]


@contextmanager
def running(
    work: Work,
    *,
    workers: int = 1,
    max_items: int = 4,
    registry: CollectorRegistry | None = None,
    min_patience_s: float = MIN_PATIENCE_S,
    nice: int = 0,
) -> Iterator[Stage[Any, Any]]:
    stage: Stage[Any, Any] = Stage(
        "work",
        work,
        workers=workers,
        limits=BatchLimits(max_items, 1000),
        durations=Durations(0.01),
        metrics=StageMetrics("test", "device", registry or CollectorRegistry()),
        min_patience_s=min_patience_s,
        nice=nice,
    )
    try:
        yield stage
    finally:
        stage.close()


async def outcomes(whole: Any) -> list[Any]:
    found: list[Any] = await asyncio.wait_for(whole.outcomes(), 60)
    return found


async def entered(gate: Gate) -> None:
    assert await asyncio.to_thread(gate.entered.acquire, timeout=60)


async def test_items_become_outcomes_in_order() -> None:
    """Each item gets its own outcome."""
    with running(Gate()) as stage:
        assert await outcomes(put_all(stage, [1, 2, 3])) == [2, 4, 6]


async def test_what_waits_while_the_worker_is_busy_is_its_next_batch() -> None:
    """Items of different callers share a batch, formed when the worker is free and not before."""
    gate = Gate(shut=True)
    with running(gate) as stage:
        first = put_all(stage, [1])
        await entered(gate)
        others = [put_all(stage, [number]) for number in (2, 3, 4, 5, 6)]
        gate.open.set()
        assert [await outcomes(each) for each in (first, *others)] == [[2], [4], [6], [8], [10], [12]]
        assert gate.batches == [[1], [2, 3, 4, 5], [6]]


async def test_one_bad_item_fails_alone() -> None:
    """What a batch raises is tried again item by item, and only the culprit has an error."""

    def work(_kind: Any, items: list[Any]) -> list[Any]:
        if "poison" in items:
            raise ValueError("a detail for the log alone")
        return items

    with running(work) as stage:
        fine, bad, fine_too = await outcomes(put_all(stage, ["a", "poison", "b"]))
    assert (fine, fine_too) == ("a", "b")
    assert isinstance(bad, VitrineError)
    assert "detail" not in bad.message


async def test_errors_of_the_domain_reach_their_item() -> None:
    """An error that is returned or raised for one item is that item's outcome as it is."""

    def work(_kind: Any, items: list[Any]) -> list[Any]:
        if items == ["raise"]:
            raise InvalidArgument("image", "raised")
        return [InvalidArgument("image", "returned") if item == "return" else item for item in items]

    with running(work, max_items=1) as stage:
        raised, returned, fine = await outcomes(put_all(stage, ["raise", "return", "a"]))
    assert (raised.message, returned.message, fine) == ("raised", "returned", "a")


async def test_departed_callers_cost_nothing() -> None:
    """An item whose caller left while it waited is never worked on, and its place is given back."""
    gate = Gate(shut=True)
    freed: list[Any] = []
    with running(gate) as stage:
        first = put_all(stage, [1])
        await entered(gate)
        gone = call()
        stage.put(Job(gone, "kind", 7, 1, freed.append))
        task = asyncio.create_task(gone.outcomes())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        gate.open.set()
        await outcomes(first)
        await outcomes(put_all(stage, [3]))
    assert gate.batches == [[1], [3]]
    assert len(freed) == 1


async def test_a_deadline_that_passed_in_the_queue_is_told() -> None:
    """A late item is DEADLINE_EXCEEDED without having been worked on."""
    with running(Gate()) as stage:
        late = call(deadline_at=time.monotonic() - 1)
        stage.put(Job(late, "kind", 1, 1, partial(late.settle, 0)))
        (outcome,) = await outcomes(late)
    assert isinstance(outcome, DeadlineExceeded)


async def test_times_and_metrics_are_noted() -> None:
    """A call learns how long it waited and was worked on; batch sizes and busy time are counted."""
    registry = CollectorRegistry()
    with running(Gate(), registry=registry) as stage:
        whole = put_all(stage, [1, 2])
        await outcomes(whole)
    assert whole.times_s.keys() == {"work_queue", "work"}
    assert registry.get_sample_value("test_batch_items_sum") == 2
    assert registry.get_sample_value("test_queue_seconds_count") == 2
    assert registry.get_sample_value("test_queue_items") == 0
    assert 0 <= (registry.get_sample_value("test_device_busy_ratio") or 0) <= 1


async def test_the_time_to_finish_counts_what_goes_before() -> None:
    """Bulk work waits for all that waits, interactive work does not wait for bulk work."""
    gate = Gate(shut=True)
    with running(gate, max_items=1) as stage:
        first = put_all(stage, [1])
        await entered(gate)
        bulk = call(Priority.BULK, items=5)
        for index in range(5):
            stage.put(Job(bulk, "kind", index, 1, partial(bulk.settle, index)))
        assert stage.waiting(Priority.INTERACTIVE) == 0
        assert stage.waiting(Priority.BULK) == 5
        mine_s = stage.finish_s("kind", 1, Priority.INTERACTIVE)
        assert stage.finish_s("kind", 1, Priority.BULK) >= mine_s + 4 * 0.01
        gate.open.set()
        await asyncio.gather(outcomes(first), outcomes(bulk))


async def test_a_stalled_worker_is_told_and_recovers() -> None:
    """A batch far beyond its expected time makes the stage stuck, until it ends."""
    gate = Gate(shut=True)
    with running(gate, min_patience_s=0.05) as stage:
        assert not stage.stuck
        whole = put_all(stage, [1])
        await until(lambda: stage.stuck)
        gate.open.set()
        await outcomes(whole)
        await until(lambda: not stage.stuck)


async def test_one_stalled_worker_of_two_leaves_the_stage_working() -> None:
    """While another worker makes progress, so does the stage."""
    stalled = threading.Event()

    def work(_kind: Any, items: list[Any]) -> list[Any]:
        if items == ["stall"]:
            assert stalled.wait(60)
        return items

    with running(work, workers=2, max_items=1, min_patience_s=0.0) as stage:
        stuck = put_all(stage, ["stall"])
        assert await outcomes(put_all(stage, ["a"])) == ["a"]
        assert not stage.stuck
        stalled.set()
        await outcomes(stuck)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_dead_worker_answers_its_callers_and_is_replaced() -> None:
    """A thread that dies fails its batch with UNAVAILABLE; the stage is stuck until it is revived."""

    def work(_kind: Any, items: list[Any]) -> list[Any]:
        if "kill" in items:
            raise SystemExit
        return items

    with running(work) as stage:
        (outcome,) = await outcomes(put_all(stage, ["kill"]))
        assert isinstance(outcome, Unavailable)
        await until(lambda: stage.stuck)
        assert stage.revive() == 1
        assert not stage.stuck
        assert await outcomes(put_all(stage, ["a"])) == ["a"]
        assert stage.revive() == 0


async def test_closing_answers_everybody() -> None:
    """What is in hand is finished; what waits, and what comes later, is UNAVAILABLE."""
    gate = Gate(shut=True)
    with running(gate) as stage:
        first = put_all(stage, [1])
        await entered(gate)
        waiting = put_all(stage, [2])
        stage.close()
        later = put_all(stage, [3])
        gate.open.set()
        assert await outcomes(first) == [2]
        for whole in (waiting, later):
            (outcome,) = await outcomes(whole)
            assert isinstance(outcome, Unavailable)


async def test_the_worker_that_was_busy_last_is_taken_first() -> None:
    """Single items one after the other are all done by the same warm thread."""
    names = []

    def work(_kind: Any, items: list[Any]) -> list[Any]:
        names.append(threading.current_thread().name)
        return items

    with running(work, workers=3) as stage:
        await until(lambda: len(stage._idle) == 3)
        for number in range(5):
            await outcomes(put_all(stage, [number]))
            await until(lambda: len(stage._idle) == 3)
    assert len(set(names)) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives a thread a niceness of its own")
async def test_nice_workers_give_way() -> None:
    """The workers alone are nice, not the thread that serves callers."""

    def work(_kind: Any, items: list[Any]) -> list[Any]:
        return [os.getpriority(os.PRIO_PROCESS, threading.get_native_id())] * len(items)

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    with running(work, nice=before + 1) as stage:
        assert await outcomes(put_all(stage, [1])) == [before + 1]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


async def test_the_time_to_finish_is_shared_by_the_workers_but_for_the_last_batch() -> None:
    """Two workers halve what is ahead, and one's own batch takes as long as it takes."""
    gate = Gate(shut=True)
    with running(gate, workers=2, max_items=1) as stage:
        first = put_all(stage, [1, 2])
        for _ in range(2):
            await entered(gate)
        waiting = put_all(stage, [3, 4, 5, 6])
        finish_s = stage.finish_s("kind", 1, Priority.INTERACTIVE)
        # Four waiting ones of 10 ms over two workers, and one's own; what runs is overdue and counts no more.
        assert 0.03 - 1e-9 <= finish_s <= 0.04 + 1e-9
        gate.open.set()
        await asyncio.gather(outcomes(first), outcomes(waiting))

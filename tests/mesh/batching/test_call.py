from __future__ import annotations

import asyncio
import threading

import pytest

from services.mesh.batching.call import Priority
from services.mesh.errors import InvalidArgument
from tests.mesh.batching.jobs import call


async def test_a_call_ends_when_every_item_has_its_outcome() -> None:
    """Outcomes given by several threads in any order come back in the order of the items."""
    whole = call(items=3)
    threads = [threading.Thread(target=whole.settle, args=(index, str(index))) for index in (2, 0, 1)]
    for thread in threads:
        thread.start()
    assert await asyncio.wait_for(whole.outcomes(), 60) == ["0", "1", "2"]


async def test_errors_are_outcomes() -> None:
    """What is wrong with one item stands in its place."""
    whole = call(items=2)
    error = InvalidArgument("image", "is none")
    whole.settle(1, error)
    whole.settle(0, "fine")
    assert await whole.outcomes() == ["fine", error]


async def test_a_cancelled_caller_has_left() -> None:
    """Cancelling the wait marks the call, so that stages drop what is left of it."""
    whole = call()
    task = asyncio.create_task(whole.outcomes())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert whole.left


def test_an_outcome_after_the_loop_has_gone_harms_nobody() -> None:
    """A stage that finishes while the process stops has nobody to tell."""
    call(Priority.BULK).settle(0, "late")


async def test_times_are_those_of_the_slowest_item() -> None:
    """Of several items in a stage the longest time counts."""
    whole = call(items=2)
    whole.took("forward", 0.1)
    whole.took("forward", 0.3)
    whole.took("forward", 0.2)
    assert whole.times_s == {"forward": 0.3}

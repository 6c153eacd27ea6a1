from __future__ import annotations

import asyncio

import pytest

from services.gateway.dependencies import FRESH_S, MAX_PROBLEM_CHARACTERS, Dependencies
from services.mesh import deadline
from services.mesh.errors import Unavailable


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Pinged:
    """Something that is pinged; it answers once `free` is set."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.free = asyncio.Event()
        self.free.set()
        self.asked = asyncio.Event()
        self.pings = 0
        self.time_left_s = 0.0

    async def ping(self) -> str:
        self.pings += 1
        self.asked.set()
        self.time_left_s = deadline.remaining_s(3_600.0)
        await self.free.wait()
        if self.error:
            raise self.error
        return "pong"


async def test_each_is_told_in_order() -> None:
    """Who answers is available, and who does not says why, in a few words."""
    fine, broken = Pinged(), Pinged(Unavailable("x" * 1_000))
    dependencies = Dependencies({"store": fine.ping, "embedder": broken.ping}, timeout_s=60)
    first, second = await dependencies.statuses()
    assert (first.name, first.available, first.problem) == ("store", True, "")
    assert (second.name, second.available) == ("embedder", False)
    assert second.problem == "x" * MAX_PROBLEM_CHARACTERS
    assert 0 <= first.latency_ms < 60_000


async def test_who_does_not_answer_is_not_waited_for() -> None:
    """One that hangs is unavailable after its time, and holds up no other's answer."""
    hanging, fine = Pinged(), Pinged()
    hanging.free.clear()
    dependencies = Dependencies({"redis": hanging.ping, "store": fine.ping}, timeout_s=0.05)
    first, second = await dependencies.statuses()
    assert (first.available, first.problem) == (False, "the redis has not answered within 0.05 s")
    assert second.available


async def test_an_answer_is_shared_for_a_moment() -> None:
    """However many ask, at once or one after another, each dependency is asked once in FRESH_S."""
    clock, one = Clock(), Pinged()
    one.free.clear()
    dependencies = Dependencies({"store": one.ping}, timeout_s=60, clock=clock)
    asking = [asyncio.create_task(dependencies.statuses()) for _ in range(10)]
    await asyncio.sleep(0)
    one.free.set()
    await asyncio.gather(*asking)
    clock.now_s += FRESH_S * 0.9
    await dependencies.statuses()
    assert one.pings == 1
    clock.now_s += FRESH_S * 0.2
    one.error = Unavailable("away")
    [status] = await dependencies.statuses()
    assert (one.pings, status.available) == (2, False)


async def test_the_first_who_asks_does_not_decide_for_others() -> None:
    """Neither the deadline of who asked first nor their leaving changes what the others are told."""
    one = Pinged()
    one.free.clear()
    dependencies = Dependencies({"store": one.ping}, timeout_s=60)
    with deadline.within(0.5):
        first = asyncio.create_task(dependencies.statuses())
    second = asyncio.create_task(dependencies.statuses())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    one.free.set()
    [status] = await second
    assert (one.pings, one.time_left_s, status.available) == (1, 3_600.0, True)


async def test_a_mistake_is_not_kept() -> None:
    """An error that no ping should raise is raised, and the next who asks asks anew."""
    one = Pinged(ValueError("a mistake"))
    dependencies = Dependencies({"store": one.ping}, timeout_s=60)
    for expected in (1, 2):
        with pytest.raises(ValueError, match="a mistake"):
            await dependencies.statuses()
        assert one.pings == expected


async def test_closing_ends_what_is_asked() -> None:
    """Nothing is left running when the gateway stops, whether somebody was asking or nobody ever did."""
    one = Pinged()
    one.free.clear()
    dependencies = Dependencies({"store": one.ping}, timeout_s=60)
    await dependencies.close()
    asking = asyncio.create_task(dependencies.statuses())
    await one.asked.wait()
    await dependencies.close()
    await asyncio.wait({asking})
    assert asking.cancelled()

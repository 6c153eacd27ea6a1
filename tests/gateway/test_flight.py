from __future__ import annotations

import asyncio

import pytest

from services.gateway.flight import SingleFlight
from services.mesh import deadline
from services.mesh.errors import DeadlineExceeded, NotFound


async def test_equal_work_is_done_once() -> None:
    """Who asks while it is being done shares it; who asks later has it done again."""
    flights: SingleFlight[int] = SingleFlight()
    done = 0

    async def work() -> int:
        nonlocal done
        await asyncio.sleep(0.01)
        done += 1
        return done

    results = await asyncio.gather(*(flights.do(b"k", work) for _ in range(5)))
    assert results == [(1, False), *[(1, True)] * 4]
    assert await flights.do(b"k", work) == (2, False)


async def test_who_has_much_more_time_does_not_share_what_is_made_in_less() -> None:
    """Work that has to end soon is not joined by a caller who can wait for long, whom others then join."""
    flights: SingleFlight[str] = SingleFlight()
    release = asyncio.Event()

    async def work() -> str:
        await release.wait()
        return f"{deadline.remaining_s(10_000):.0f}"

    async def ask(timeout_s: float) -> tuple[str, bool]:
        with deadline.within(timeout_s):
            return await flights.do(b"k", work)

    asked = []
    for timeout_s in (580, 2_080, 2_070, 480):
        asked.append(asyncio.create_task(ask(timeout_s)))
        await asyncio.sleep(0)
    release.set()
    results = await asyncio.gather(*asked)
    assert [shared for _, shared in results] == [False, False, True, True]
    assert [float(left_s) // 100 for left_s, _ in results] == [5, 20, 20, 20]


async def test_errors_are_shared() -> None:
    """Everybody who waits is told what went wrong."""
    flights: SingleFlight[int] = SingleFlight()

    async def work() -> int:
        await asyncio.sleep(0.01)
        raise NotFound("no")

    results = await asyncio.gather(*(flights.do(b"k", work) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in results] == [NotFound] * 3


async def test_it_goes_on_for_those_who_stay() -> None:
    """The caller who began may leave; work that nobody waits for is cancelled."""
    flights: SingleFlight[str] = SingleFlight()
    begun, may_end, cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> str:
        begun.set()
        try:
            await may_end.wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return "done"

    first = asyncio.create_task(flights.do(b"k", work))
    second = asyncio.create_task(flights.do(b"k", work))
    await begun.wait()
    first.cancel()
    await asyncio.wait({first})
    may_end.set()
    assert await second == ("done", True)
    assert not cancelled.is_set()
    begun.clear()
    may_end.clear()
    alone = asyncio.create_task(flights.do(b"k", work))
    await begun.wait()
    alone.cancel()
    await asyncio.wait_for(cancelled.wait(), 60)


async def test_a_short_deadline_is_not_shared() -> None:
    """Who has more time than the caller who began does the work anew."""
    flights: SingleFlight[str] = SingleFlight()

    async def work() -> str:
        left_s = deadline.remaining_s(10)
        await asyncio.sleep(min(0.1, left_s))
        deadline.remaining_s(10)
        return "done"

    async def hurried() -> tuple[str, bool]:
        with deadline.within(0.03):
            return await flights.do(b"k", work)

    first = asyncio.create_task(hurried())
    await asyncio.sleep(0)
    second = asyncio.create_task(flights.do(b"k", work))
    with pytest.raises(DeadlineExceeded):
        await first
    assert await second == ("done", False)

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mesh.errors import ResourceExhausted
from services.mesh.fetch.hosts import (
    FORBIDDEN_IN_A_ROW,
    MAX_HOLD_S,
    MAX_UNASKED_HOLD_S,
    MIN_HOLD_S,
    Host,
    Hosts,
    retry_after,
)


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def hosts(clock: Clock, *, at_once: int = 8, per_host: int = 4, per_s: float = 1e6, kept: int = 100) -> Hosts:
    return Hosts(
        max_concurrent=at_once,
        max_concurrent_per_host=per_host,
        max_per_host_per_s=per_s,
        max_hosts=kept,
        clock=clock,
    )


def host(clock: Clock, *, per_s: float = 10.0) -> Host:
    return Host(max_concurrent=4, max_per_s=per_s, clock=clock)


async def pass_through(together: Hosts, name: str, *, wait_s: float) -> None:
    async with together.turn(name, wait_s=wait_s):
        pass


def welcome(asked: Host) -> bool:
    try:
        asked.require_welcome()
    except ResourceExhausted as error:
        assert error.reason == "URI_RATE_LIMITED"
        assert error.retry_after_s > 0
        return False
    return True


def test_a_seconds_worth_comes_at_once_and_the_rest_in_turn() -> None:
    """Ten a second are ten now, and then one each tenth of a second."""
    asked = host(Clock())
    waits = [asked.reserve(60.0) for _ in range(13)]
    assert waits == pytest.approx([0.0] * 10 + [0.1, 0.2, 0.3])


def test_what_cannot_have_its_turn_in_time_takes_none() -> None:
    """A refused request is told when to come back and does not delay those after it."""
    clock = Clock()
    asked = host(clock)
    for _ in range(10):
        asked.reserve(0.01)
    for _ in range(100):
        with pytest.raises(ResourceExhausted) as caught:
            asked.reserve(0.05)
        assert caught.value.reason == "URI_RATE_LIMITED"
        assert caught.value.retry_after_s == pytest.approx(0.1)
    clock.now_s += 0.11
    assert asked.reserve(0.01) == 0.0


def test_less_than_one_a_second_has_no_burst() -> None:
    """One in ten seconds is one, and the next ten seconds later."""
    asked = host(Clock(), per_s=0.1)
    assert [asked.reserve(60.0) for _ in range(3)] == pytest.approx([0.0, 10.0, 20.0])


@given(st.lists(st.floats(0.0, 2.0), max_size=60))
def test_no_second_has_more_than_a_burst_and_the_rate(gaps_s: list[float]) -> None:
    """However requests arrive, no second sees more than the burst and what the rate adds to it."""
    clock = Clock()
    asked = host(clock)
    turns = []
    for gap_s in gaps_s:
        clock.now_s += gap_s
        turns.append(clock.now_s + asked.reserve(1e9))
    assert turns == sorted(turns)
    for begin in turns:
        assert sum(begin <= turn < begin + 0.999 for turn in turns) <= 20


@pytest.mark.parametrize("status", [429, 503, 403])
def test_a_host_that_names_a_time_is_left_alone_for_it(status: int) -> None:
    """Retry-After is obeyed with every status that means "not now"."""
    clock = Clock()
    asked = host(clock)
    assert asked.heed(status, 120.0) == 120.0
    clock.now_s += 119
    assert not welcome(asked)
    clock.now_s += 2
    assert welcome(asked)


@pytest.mark.parametrize(("wanted_s", "held_s"), [(0.0, MIN_HOLD_S), (1e12, MAX_HOLD_S)])
def test_no_host_says_how_long_beyond_reason(wanted_s: float, held_s: float) -> None:
    """A host is asked again after ten minutes at the latest, and a second at the earliest."""
    assert host(Clock()).heed(429, wanted_s) == held_s


def test_a_host_that_names_no_time_is_left_alone_for_longer_each_time() -> None:
    """The time doubles with each complaint, up to the longest, until an answer is a good one."""
    clock = Clock()
    asked = host(clock)
    held_s = []
    for _ in range(12):
        left_s = asked.heed(429, None)
        assert left_s is not None
        assert not welcome(asked)
        held_s.append(left_s)
        clock.now_s += left_s
        assert welcome(asked)
    assert MIN_HOLD_S <= held_s[0] <= 2
    assert held_s[4] > held_s[0]
    assert MAX_UNASKED_HOLD_S / 2 <= held_s[-1] <= MAX_UNASKED_HOLD_S
    assert asked.heed(200, None) is None
    left_s = asked.heed(429, None)
    assert left_s is not None
    assert left_s <= 2


def test_complaints_of_one_moment_count_once() -> None:
    """What was on its way when the host complained does not make the time grow."""
    asked = host(Clock())
    assert len({asked.heed(429, None) for _ in range(4)}) == 1


def test_a_shorter_time_does_not_end_a_longer_one() -> None:
    """The latest end that a host has asked for holds."""
    asked = host(Clock())
    asked.heed(429, 100.0)
    assert asked.heed(429, 5.0) == 100.0


def test_one_forbidden_picture_is_no_complaint_and_a_row_is() -> None:
    """A 403 is about a picture; several with nothing else between them are about who asks, once."""
    clock = Clock()
    asked = host(clock)
    for _ in range(5):
        for _ in range(FORBIDDEN_IN_A_ROW - 1):
            assert asked.heed(403, None) is None
        assert asked.heed(200, None) is None
    for _ in range(FORBIDDEN_IN_A_ROW - 1):
        assert asked.heed(403, None) is None
    left_s = asked.heed(403, None)
    assert left_s is not None
    assert not welcome(asked)
    clock.now_s += left_s
    assert welcome(asked)
    assert asked.heed(403, None) is None


@pytest.mark.parametrize("status", [200, 304, 404, 500, 503])
def test_other_answers_are_no_complaints(status: int) -> None:
    """A missing picture or a failing server keeps nobody from asking for the next picture."""
    asked = host(Clock())
    assert asked.heed(status, None) is None
    assert welcome(asked)


async def test_a_host_has_so_many_at_once_and_others_have_theirs() -> None:
    """Who waits for a busy host does not keep anyone from another one."""
    together = hosts(Clock(), at_once=3, per_host=2)
    async with together.turn("a", wait_s=60), together.turn("a", wait_s=60):
        with pytest.raises(ResourceExhausted) as caught:
            await pass_through(together, "a", wait_s=0.01)
        assert caught.value.reason == "URI_RATE_LIMITED"
        waiting = asyncio.create_task(pass_through(together, "a", wait_s=600))
        await asyncio.sleep(0)
        async with together.turn("b", wait_s=60):
            with pytest.raises(ResourceExhausted):
                await pass_through(together, "c", wait_s=0.01)
        assert not waiting.done()
    async with asyncio.timeout(60):
        await waiting


async def test_a_place_is_given_back_however_it_ends() -> None:
    """Failures inside, and those who leave while they wait, keep no place."""
    together = hosts(Clock(), at_once=1, per_host=1)
    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            async with together.turn("a", wait_s=60):
                raise ZeroDivisionError
    async with together.turn("a", wait_s=60):
        waiting = asyncio.create_task(pass_through(together, "b", wait_s=600))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    await pass_through(together, "b", wait_s=60)


async def test_a_complaint_turns_away_those_who_wait_too() -> None:
    """Whoever waited for a place while the host complained does not ask it any more."""
    together = hosts(Clock(), per_host=1)
    async with together.turn("a", wait_s=60) as asked:
        waiting = asyncio.create_task(pass_through(together, "a", wait_s=600))
        await asyncio.sleep(0)
        asked.heed(429, 100.0)
    with pytest.raises(ResourceExhausted) as caught:
        await waiting
    assert caught.value.retry_after_s == 100.0
    with pytest.raises(ResourceExhausted):
        await pass_through(together, "a", wait_s=60)
    await pass_through(together, "b", wait_s=60)


async def test_the_rate_is_waited_for_within_the_time() -> None:
    """A turn that comes soon enough is waited for, one that does not is refused at once."""
    together = hosts(Clock(), per_s=200)
    for _ in range(203):
        await pass_through(together, "a", wait_s=60)
    with pytest.raises(ResourceExhausted):
        await pass_through(together, "a", wait_s=0.001)


async def test_hosts_are_forgotten_by_how_long_ago_they_were_asked() -> None:
    """The number remembered is bounded; one that is being asked is never forgotten."""
    together = hosts(Clock(), kept=2)
    async with together.turn("a", wait_s=60) as asked:
        asked.heed(429, 100.0)
        for name in "bcdefg":
            await pass_through(together, name, wait_s=60)
            assert len(together) == 2
    with pytest.raises(ResourceExhausted):
        await pass_through(together, "a", wait_s=60)
    for name in "bc":
        await pass_through(together, name, wait_s=60)
    await pass_through(together, "a", wait_s=60)


async def test_more_hosts_at_once_than_are_remembered_are_refused() -> None:
    """Where every one remembered is being asked, the next has to come back."""
    together = hosts(Clock(), kept=1)
    async with together.turn("a", wait_s=60):
        with pytest.raises(ResourceExhausted, match="too many hosts"):
            await pass_through(together, "b", wait_s=60)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("9" * 5000, 999_999_999_999.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    """Seconds count as they are, a date that is past as now, and what cannot be read as nothing."""
    assert retry_after(value) == seconds


def test_a_date_to_come_is_as_far_as_it_is() -> None:
    """The seconds until a date are counted from now."""
    at = datetime.now(UTC) + timedelta(hours=5)
    seconds = retry_after(format_datetime(at, usegmt=True))
    assert seconds is not None
    assert 4 * 3600 < seconds <= 5 * 3600


@given(st.one_of(st.text(), st.from_regex(r"\w{3}, \d+ \w{3} \d+ \d+:\d+:\d+ [+-]\d+", fullmatch=True)))
def test_no_retry_after_raises(value: str) -> None:
    """Whatever a server sends, it is a number of seconds or nothing."""
    seconds = retry_after(value)
    assert seconds is None or seconds >= 0

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mesh.rates import BURST_S, Buckets


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_twice_the_rate_may_come_at_once(clock: Clock) -> None:
    """A bucket that has been left alone takes the requests of two seconds."""
    buckets = Buckets(clock=clock)
    assert [buckets.take_now("a", 5.0) for _ in range(10)] == [0.0] * 10
    assert buckets.take_now("a", 5.0) > 0


def test_the_wait_is_exact(clock: Clock) -> None:
    """Who waits for as long as they were told is let in, and a moment earlier they are not."""
    buckets = Buckets(clock=clock)
    while not (wait_s := buckets.take_now("a", 4.0)):
        pass
    assert wait_s == pytest.approx(0.25)
    clock.now_s += wait_s - 1e-4
    assert buckets.take_now("a", 4.0) > 0
    clock.now_s += 1e-4
    assert buckets.take_now("a", 4.0) == 0


def test_refusals_cost_nothing(clock: Clock) -> None:
    """Who asks again and again while they are refused does not wait longer for it."""
    buckets = Buckets(clock=clock)
    while not (wait_s := buckets.take_now("a", 4.0)):
        pass
    assert all(buckets.take_now("a", 4.0) == wait_s for _ in range(100))


def test_callers_do_not_disturb_each_other(clock: Clock) -> None:
    """The bucket of one caller is empty, and that of another is full."""
    buckets = Buckets(clock=clock)
    while not buckets.take_now("a", 1.0):
        pass
    assert buckets.take_now("b", 1.0) == 0


def test_less_than_one_a_second_lets_one_in(clock: Clock) -> None:
    """A rate whose two seconds are less than one request still allows one."""
    buckets = Buckets(clock=clock)
    assert buckets.take_now("a", 0.1) == 0
    assert buckets.take_now("a", 0.1) == pytest.approx(10.0)


def test_the_number_of_buckets_is_bounded(clock: Clock) -> None:
    """Callers without end do not fill the memory."""
    buckets = Buckets(most=10, clock=clock)
    for number in range(100):
        buckets.take_now(str(number), 1.0)
    assert len(buckets._full_at_s) == 10


@given(
    st.floats(0.05, 1_000),
    st.lists(st.floats(0, 3), min_size=1, max_size=200),
)
def test_no_time_has_more_than_the_rate_and_the_burst(rate_per_s: float, pauses_s: list[float]) -> None:
    """Whatever the pauses, those let in are never more than the rate times the time, and the burst."""
    clock = Clock()
    buckets = Buckets(clock=clock)
    start_s = clock.now_s
    taken = 0
    for pause_s in pauses_s:
        clock.now_s += pause_s
        taken += buckets.take_now("a", rate_per_s) == 0
        burst = max(1.0, rate_per_s * BURST_S)
        assert taken <= burst + rate_per_s * (clock.now_s - start_s) + 1e-3

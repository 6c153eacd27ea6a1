from __future__ import annotations

import pytest

from services.mesh.batching.busy import WINDOW_S, BusyTime


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_ratio_is_the_share_of_time_in_which_something_worked(clock: Clock) -> None:
    """Half a second of work in two is a quarter."""
    busy = BusyTime(clock)
    with busy.working():
        clock.now += 0.5
    clock.now += 1.5
    assert busy.ratio == pytest.approx(0.25)


def test_work_in_hand_counts(clock: Clock) -> None:
    """A device that has been computing all along is busy although nothing has ended yet."""
    busy = BusyTime(clock)
    with busy.working():
        clock.now += 3
        assert busy.ratio == pytest.approx(1.0)
        assert busy.total_s == pytest.approx(3.0)


def test_two_at_once_are_busy_once(clock: Clock) -> None:
    """Overlapping work is not counted twice."""
    busy = BusyTime(clock)
    with busy.working(), busy.working():
        clock.now += 1
    clock.now += 1
    assert busy.ratio == pytest.approx(0.5)


def test_what_is_older_than_the_window_is_forgotten(clock: Clock) -> None:
    """A busy morning says nothing about now."""
    busy = BusyTime(clock)
    for _ in range(30):
        with busy.working():
            clock.now += 1
    for _ in range(int(WINDOW_S) + 1):
        clock.now += 1
        last = busy.ratio
    assert last == pytest.approx(0.0)

from __future__ import annotations

import pytest

from vitrine.client.busy_hosts import BusyHosts


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hosts(clock: Clock) -> BusyHosts:
    return BusyHosts(patience_s=60.0, first_backoff_s=1.0, max_backoff_s=8.0, clock=clock)


def test_a_host_is_left_alone_for_longer_each_time(hosts: BusyHosts, clock: Clock) -> None:
    """From complaint to complaint, up to the longest; several at once are one."""
    waits = []
    for _ in range(6):
        hosts.failed("a", 0.0)
        hosts.failed("a", 0.0)
        waits.append(hosts.ready_at(["a"]) - clock.now)
        clock.now = hosts.ready_at(["a"])
    assert waits == sorted(waits[:3]) + waits[3:]
    assert 0.5 <= waits[0] <= 1.5
    assert max(waits) <= 12.0


def test_a_host_may_say_for_how_long(hosts: BusyHosts, clock: Clock) -> None:
    """Within patience."""
    hosts.failed("a", 30.0)
    assert hosts.ready_at(["a"]) == clock.now + 30
    hosts.failed("b", 1e9)
    assert hosts.ready_at(["a", "b"]) == clock.now + 60


def test_a_host_that_gave_something_is_busy_no_more(hosts: BusyHosts, clock: Clock) -> None:
    """It may be asked at once, and its patience begins anew."""
    hosts.failed("a", 30.0)
    clock.now += 59
    hosts.succeeded("a")
    assert hosts.ready_at(["a"]) == 0
    hosts.failed("a", 0.0)
    clock.now += 59
    assert not hosts.are_given_up(["a"])


def test_a_host_that_gives_nothing_is_given_up(hosts: BusyHosts, clock: Clock) -> None:
    """After patience, whatever else it is asked for meanwhile; others are not."""
    hosts.failed("a", 0)
    clock.now += 59
    hosts.failed("a", 0)
    hosts.failed("b", 0)
    assert not hosts.are_given_up(["a", "b"])
    clock.now += 1
    assert hosts.are_given_up(["b", "a"])
    assert not hosts.are_given_up(["b", "unknown"])

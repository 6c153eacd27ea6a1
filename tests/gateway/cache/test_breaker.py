from __future__ import annotations

from services.gateway.cache.breaker import LONGEST_S, Breaker


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_failure_is_followed_by_rest() -> None:
    """After a failure nobody asks for a second at least; then one does, and the others wait for it."""
    clock = Clock()
    breaker = Breaker(clock=clock)
    assert breaker.allows()
    assert breaker.failed(clock.now_s)
    clock.now_s += 0.99
    assert not breaker.allows()
    clock.now_s += 0.3
    assert breaker.allows()
    assert not breaker.allows()


def test_what_works_again_is_asked_by_all() -> None:
    """One that works after a failure ends the rest for everybody."""
    clock = Clock()
    breaker = Breaker(clock=clock)
    breaker.failed(clock.now_s)
    clock.now_s += 2
    assert breaker.allows()
    assert breaker.succeeded(clock.now_s)
    assert not breaker.succeeded(clock.now_s)
    assert breaker.allows()
    assert breaker.allows()


def test_many_that_fail_at_once_are_one_failure() -> None:
    """What had begun before the failure became known neither lengthens the rest nor ends it."""
    clock = Clock()
    breaker = Breaker(clock=clock)
    began_s = clock.now_s
    clock.now_s += 1
    assert breaker.failed(began_s)
    for _ in range(10):
        assert not breaker.failed(began_s)
    assert not breaker.succeeded(began_s)
    clock.now_s += 1.3
    assert breaker.allows()


def test_rests_grow_to_a_limit() -> None:
    """Each failure in a row doubles the rest, up to a quarter of a minute."""
    clock = Clock()
    breaker = Breaker(clock=clock)
    rests = []
    for _ in range(8):
        breaker.failed(clock.now_s)
        start_s = clock.now_s
        while not breaker.allows():
            clock.now_s += 0.1
        rests.append(clock.now_s - start_s)
        clock.now_s += 0.1
    assert 1 <= rests[0] < 1.5
    assert rests[2] > 2 * rests[0]
    assert all(0.7 * LONGEST_S < rest < LONGEST_S + 1 for rest in rests[-3:])


def test_a_try_that_nobody_reports_is_made_again() -> None:
    """A trial that is never heard of keeps others away for a second only."""
    clock = Clock()
    breaker = Breaker(clock=clock)
    breaker.failed(clock.now_s)
    clock.now_s += 2
    assert breaker.allows()
    clock.now_s += 1.1
    assert breaker.allows()

from services.mesh.backoff import Backoff


def test_delays_double_up_to_the_longest() -> None:
    """Each failure waits twice as long as the one before, up to the limit."""
    backoff = Backoff(initial_s=1.0, max_s=5.0)
    assert [backoff.next_s() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_reset_begins_anew() -> None:
    """After a reset the next failure waits as the first did."""
    backoff = Backoff(initial_s=1.0)
    backoff.next_s()
    backoff.next_s()
    backoff.reset()
    assert backoff.next_s() == 1.0


def test_a_thousand_failures_do_not_overflow() -> None:
    """However often it failed, a delay is a number."""
    backoff = Backoff(max_s=30.0)
    delays = [backoff.next_s() for _ in range(2000)]
    assert delays[-1] == 30.0


def test_jitter_takes_a_share_away() -> None:
    """Delays with jitter lie between their share and the whole, and differ."""
    backoff = Backoff(initial_s=8.0, factor=1.0, jitter=0.5)
    delays = {backoff.next_s() for _ in range(100)}
    assert min(delays) >= 4.0
    assert max(delays) <= 8.0
    assert len(delays) > 50

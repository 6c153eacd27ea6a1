"""The autoscaler's algorithm against the examples of Kubernetes' documentation."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.autoscaling.hpa import (
    DEFAULT_DOWN,
    DEFAULT_UP,
    Autoscaler,
    HpaSettings,
    Policy,
    Rules,
    Samples,
    desired_by_metric,
)

UNBOUNDED = Rules(())


def scaled(
    *values: float,
    current: int | None = None,
    target: float = 100.0,
    missing: int = 0,
    pending: int = 0,
) -> int | None:
    count = len(values) + missing + pending if current is None else current
    return desired_by_metric(count, Samples(values, missing, pending), target)


def autoscaler(
    up: Rules = UNBOUNDED, down: Rules = UNBOUNDED, *, least: int = 1, most: int = 1000
) -> Autoscaler:
    return Autoscaler(HpaSettings({"load": 1.0}, least, most, up, down))


def decide(scaler: Autoscaler, now: float, current: int, desired: int) -> int:
    """What becomes of a wish for `desired` replicas."""
    return scaler.decide(now, current, {"load": Samples([desired / current] * current)})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((200.0,), 2),
        ((50.0, 50.0), 1),
        ((90.0,) * 50, 60),
        ((105.0,) * 4, 4),
        ((109.0,) * 10, 10),
        ((111.0,) * 10, 12),
    ],
)
def test_the_ratio_of_value_and_target_scales_the_number(values: tuple[float, ...], expected: int) -> None:
    """Twice the target doubles, half of it halves, and within a tenth nothing happens."""
    target = 75.0 if len(values) == 50 else 100.0
    assert desired_by_metric(len(values), Samples(values), target) == expected


def test_pods_that_do_not_run_yet_dampen_the_way_up() -> None:
    """Three pods at twice the target want six; with three on their way there are six already."""
    assert scaled(200, 200, 200) == 6
    assert scaled(200, 200, 200, pending=3) == 6
    assert scaled(200, 200, 200, pending=2) == 6
    assert scaled(200, 200, 200, pending=4, current=7) == 7


def test_a_missing_sample_counts_as_nothing_on_the_way_up_and_as_the_target_on_the_way_down() -> None:
    """Whoever is not known never makes a change larger, nor turns it round."""
    assert scaled(300, 300, missing=1) == 6
    assert scaled(120, missing=1) == 2
    assert scaled(10, 10, missing=2) == 3
    assert scaled(50, missing=9) == 10


def test_pods_that_do_not_run_yet_are_not_counted_on_the_way_down() -> None:
    """Only those that run are known to be too many."""
    assert scaled(20, 20, 20, 20, pending=2) == 1


def test_without_any_sample_nothing_is_asked_for() -> None:
    """A metric that no pod has says nothing."""
    assert scaled(missing=3) is None


def test_the_metric_that_wants_most_decides() -> None:
    """Of several metrics the largest number is taken."""
    scaler = Autoscaler(HpaSettings({"queue": 4.0, "busy": 0.5}, 1, 100, UNBOUNDED, UNBOUNDED))
    metrics = {"queue": Samples([8.0, 8.0]), "busy": Samples([1.0, 2.0])}
    assert scaler.decide(0, 2, metrics) == 6


def test_nothing_is_taken_away_while_a_metric_is_missing() -> None:
    """One metric wants fewer and the other is unknown: nothing happens; one that wants more is heard."""
    scaler = Autoscaler(HpaSettings({"queue": 4.0, "busy": 0.5}, 1, 100, UNBOUNDED, UNBOUNDED))
    unknown = Samples([], missing=4)
    assert scaler.decide(0, 4, {"queue": Samples([0.0] * 4), "busy": unknown}) == 4
    assert scaler.decide(15, 4, {"queue": Samples([8.0] * 4), "busy": unknown}) == 8


def test_eighty_pods_go_down_by_a_tenth_and_in_the_end_by_four() -> None:
    """The documentation's example: 10% of 80, then of 72 rounded up to 8, and 4 below 40."""
    down = Rules((Policy("Pods", 4, 60), Policy("Percent", 10, 60)))
    scaler = autoscaler(down=down)
    current, seen = 80, []
    for minute in range(20):
        current = decide(scaler, 60.0 * minute, current, 10)
        seen.append(current)
    assert seen[:3] == [72, 64, 57]
    steps = [before - after for before, after in itertools.pairwise(seen) if before <= 40]
    assert steps[0] == 4
    assert seen[-1] == 10


def test_the_policy_with_the_smallest_change_can_be_chosen() -> None:
    """`selectPolicy: Min`, of 10 per cent and 5 pods a minute, takes 5 of 80 pods; `Disabled` takes none."""
    policies = (Policy("Percent", 10, 60), Policy("Pods", 5, 60))
    assert decide(autoscaler(down=Rules(policies, select="Min")), 0, 80, 10) == 75
    assert decide(autoscaler(down=Rules(policies, select="Disabled")), 0, 80, 10) == 80


def test_by_default_four_pods_or_as_many_again_are_added_in_a_quarter_of_a_minute() -> None:
    """From one pod to 5, 10 and 20, and no more within the same period."""
    scaler = autoscaler(DEFAULT_UP, DEFAULT_DOWN)
    assert decide(scaler, 0, 1, 100) == 5
    assert decide(scaler, 10, 5, 100) == 5
    assert decide(scaler, 15, 5, 100) == 10
    assert decide(scaler, 30, 10, 100) == 20


def test_within_the_window_the_highest_recommendation_holds() -> None:
    """With 300 s, what was wanted 299 s ago still is; what was wanted before is forgotten."""
    scaler = autoscaler(down=DEFAULT_DOWN)
    assert decide(scaler, 0, 10, 10) == 10
    assert decide(scaler, 150, 10, 6) == 10
    assert decide(scaler, 299, 10, 2) == 10
    assert decide(scaler, 301, 10, 2) == 6
    assert decide(scaler, 460, 6, 2) == 2


def test_a_window_upwards_waits_for_the_lowest_recommendation() -> None:
    """A peak that is shorter than the window adds nothing."""
    scaler = autoscaler(up=Rules((), stabilization_s=60))
    assert decide(scaler, 0, 2, 2) == 2
    assert decide(scaler, 30, 2, 8) == 2
    assert decide(scaler, 61, 2, 8) == 8


@given(
    values=st.lists(st.floats(0, 1e4), min_size=1, max_size=20),
    target=st.floats(0.1, 100),
    missing=st.integers(0, 5),
    pending=st.integers(0, 5),
)
def test_who_is_unknown_never_makes_a_change_larger(
    values: list[float], target: float, missing: int, pending: int
) -> None:
    """Against the same values without missing and pending pods, the step is no longer and not reversed."""
    known = len(values)
    current = known + missing + pending
    plain = desired_by_metric(known, Samples(values), target)
    damped = desired_by_metric(current, Samples(values, missing, pending), target)
    assert plain is not None
    assert damped is not None
    if sum(values) > known * target:
        assert current <= damped <= max(current, plain)
    else:
        assert damped <= current
        assert damped >= min(current, plain)


@given(
    wishes=st.lists(st.tuples(st.floats(1, 60), st.integers(1, 60)), min_size=1, max_size=30),
    least=st.integers(1, 5),
    window_s=st.sampled_from([0.0, 60.0, 300.0]),
)
def test_the_number_stays_within_bounds_and_policies(
    wishes: list[tuple[float, int]], least: int, window_s: float
) -> None:
    """Whatever is wished for, bounds hold, and so does the larger of the policies upwards."""
    up = Rules((Policy("Percent", 100, 15), Policy("Pods", 4, 15)))
    down = Rules((Policy("Percent", 50, 60),), window_s)
    scaler = autoscaler(up, down, least=least, most=40)
    now, current = 0.0, least
    history = [(now, current)]
    for later_s, wish in wishes:
        now += later_s
        current = decide(scaler, now, current, wish)
        assert least <= current <= 40
        start = [number for at, number in history if at <= now - 15 or at == 0][-1]
        assert current <= max(2 * start, start + 4, history[-1][1])
        history.append((now, current))

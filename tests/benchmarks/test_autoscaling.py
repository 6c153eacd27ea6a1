"""The simulation of the autoscaled embedder: what must hold of any, and of this one."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.autoscaling import choice, passes, service_level, traffic
from benchmarks.autoscaling.choice import Row, Setting
from benchmarks.autoscaling.figures import ClusterFigures, PodFigures, assumed_card, pod_of
from benchmarks.autoscaling.hpa import HpaSettings
from benchmarks.autoscaling.passes import TimedPass
from benchmarks.autoscaling.simulation import BUSY, QUEUE, Cluster, Course, Outcome

ROOT = Path(__file__).resolve().parents[2]
SHARED_S = tuple(0.02 + 0.02 * items for items in range(1, 9))
POD = PodFigures(
    alone_s=tuple(0.7 * each for each in SHARED_S),
    shared_s=SHARED_S,
    factors=(0.9, 1.0, 1.1),
    passes=2,
    decode_s=0.004,
    decode_threads=2,
    overhead_s=0.002,
    listen_s=4.0,
    start_s=7.0,
)
# One image at a time, always as fast: a queue with Poisson arrivals and one server (M/D/1).
SINGLE = replace(
    POD, alone_s=(0.05,), shared_s=(0.05,), factors=(1.0,), passes=1, decode_s=0.0, overhead_s=0.0
)
HPA = HpaSettings({QUEUE: 8.0, BUSY: 0.8}, 1, 8)
FOREVER_S = 1e6


def simulate(
    pod: PodFigures = POD,
    *,
    rate: float = 60.0,
    seconds: float = 60.0,
    hpa: HpaSettings | None = None,
    replicas: int = 1,
    deadline_s: float = FOREVER_S,
    seed: int = 0,
    tail_s: float = 60.0,
) -> Course:
    arrived_s = traffic.arrivals(traffic.constant(rate, seconds), seed)
    cluster = Cluster(pod, ClusterFigures(), hpa, replicas=replicas, deadline_s=deadline_s, seed=seed)
    return cluster.run(arrived_s, seconds + tail_s)


@settings(max_examples=15, deadline=None)
@given(
    rate=st.floats(1, 400),
    deadline_s=st.sampled_from([0.05, 0.5, 10.0]),
    replicas=st.integers(1, 4),
    tail_s=st.sampled_from([0.0, 30.0]),
    seed=st.integers(0, 1000),
    scaled=st.booleans(),
)
def test_every_arrival_is_served_refused_late_or_still_waiting(
    rate: float, deadline_s: float, replicas: int, tail_s: float, seed: int, scaled: bool
) -> None:
    """None is lost, none counted twice, and who was served waited neither less than a pass nor too long."""
    course = simulate(
        rate=rate,
        seconds=20,
        hpa=HPA if scaled else None,
        replicas=replicas,
        deadline_s=deadline_s,
        seed=seed,
        tail_s=tail_s,
    )
    counts = {outcome: course.count(outcome) for outcome in Outcome}
    assert sum(counts.values()) == len(course.arrived_s)
    if tail_s:
        assert counts[Outcome.WAITING] == 0
    assert course.moments[-1].waiting == 0 or not tail_s
    served = course.outcomes == Outcome.SERVED
    assert np.isnan(course.latency_s[course.outcomes == Outcome.REFUSED]).all()
    assert (course.latency_s[served] >= 0.9 * POD.alone_s[0] + POD.decode_s).all()
    assert (course.latency_s[served] <= deadline_s + POD.overhead_s + 1e-6).all()
    assert course.pass_items >= counts[Outcome.SERVED]
    assert max(moment.waiting for moment in course.moments) <= POD.max_calls * 8


def test_one_server_waits_as_queueing_theory_has_it() -> None:
    """At a load of 0.7 the mean wait of M/D/1 is 0.7 / (2 * 0.3) services (Pollaczek and Khinchine)."""
    course = simulate(SINGLE, rate=14, seconds=2000)
    assert course.waited_s / course.pass_items == pytest.approx(0.05 * 0.7 / (2 * 0.3), rel=0.1)


def test_a_device_is_busy_for_its_share() -> None:
    """The utilisation law: the busy ratio that is exported is arrivals a second times seconds of service."""
    course = simulate(SINGLE, rate=10, seconds=400, seed=3, tail_s=0)
    settled = [moment.busy for moment in course.moments if moment.at_s >= 10]
    assert np.mean(settled) == pytest.approx(len(course.arrived_s) / 400 * 0.05, abs=0.02)


def test_the_same_seed_gives_the_same_course_and_another_one_another() -> None:
    """Nothing depends on a clock, on threads or on the order of a set."""
    first, again, other = (
        simulate(hpa=HPA, rate=200, deadline_s=10.0, seed=seed).latency_s for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert len(first) != len(other) or not np.array_equal(first, other, equal_nan=True)


def test_a_queue_never_holds_more_calls_than_the_server_takes() -> None:
    """With all the time of the world, refusals begin at as many calls as are handled at once."""
    course = simulate(rate=400, seconds=10)
    assert max(moment.waiting for moment in course.moments) == POD.max_calls
    assert course.count(Outcome.REFUSED) > 0
    assert course.count(Outcome.LATE) == 0


def test_who_could_not_be_served_in_time_is_refused_at_once() -> None:
    """With a deadline of half a second hardly anybody is let in and late, and batches stay full."""
    course = simulate(rate=300, seconds=30, deadline_s=0.5)
    assert course.count(Outcome.LATE) < 0.05 * len(course.arrived_s)
    assert course.count(Outcome.SERVED) > 0.7 * POD.capacity * 30
    assert course.pass_items / course.passes > 4


def test_a_new_pod_gets_traffic_when_it_has_been_scheduled_started_and_found() -> None:
    """Schedule, start-up, probe and ageing add up, after at least one scrape and one sync."""
    cluster = ClusterFigures()
    course = simulate(rate=400, seconds=120, hpa=HPA, deadline_s=10.0, tail_s=0)
    more = next(moment.at_s for moment in course.moments if moment.pods > 1)
    used = next(moment.at_s for moment in course.moments if moment.serving > 1)
    least_s = cluster.schedule_s + POD.start_s + cluster.ageing_s
    assert more <= cluster.scrape_s + cluster.adapter_s + 15 + 1
    assert least_s - 1 <= used - more <= least_s + cluster.probe_s + 1


def test_pods_that_are_taken_away_finish_what_they_have() -> None:
    """After a surge the number falls to the minimum, and nobody who was let in goes without an answer."""
    settled = choice.Setting(8.0, 0.8, "fourfold", "0 s, all at once", 1, 8)
    profile = traffic.waves(20, 10, crests=1, hold_s=60, after_s=200)
    cluster = Cluster(POD, ClusterFigures(), settled.hpa, replicas=1, deadline_s=10.0, seed=4)
    course = cluster.run(traffic.arrivals(profile, 4), profile.end_s + 20)
    assert max(moment.pods for moment in course.moments) > 2
    assert course.moments[-1].pods == 1
    assert course.count(Outcome.WAITING) == 0
    assert course.pod_s < 8 * profile.end_s


@given(base=st.floats(1, 50), factor=st.floats(1, 20), hold_s=st.floats(5, 60), seed=st.integers(0, 100))
def test_arrivals_follow_the_rate(base: float, factor: float, hold_s: float, seed: int) -> None:
    """They grow, stay within the profile, and are as many as the rate sums to, within six deviations."""
    profile = traffic.step(base, factor, before_s=20, hold_s=hold_s)
    arrived_s = traffic.arrivals(profile, seed)
    assert (np.diff(arrived_s) >= 0).all()
    assert not len(arrived_s) or 0 <= arrived_s[0] <= arrived_s[-1] <= profile.end_s + 0.1
    for count, mean in (
        ((arrived_s < 20).sum(), 20 * base),
        ((arrived_s >= 20).sum(), base * factor * hold_s),
    ):
        assert abs(count - mean) <= 6 * math.sqrt(mean) + 3 + base * factor * 0.1


def test_a_second_is_broken_when_more_than_a_hundredth_are_late_or_refused() -> None:
    """Of a hundred arrivals one may be slow; the rest of the search counts, and so do refusals."""
    cluster = ClusterFigures()
    profile = traffic.constant(100, 4)
    arrived_s = np.repeat(np.arange(4.0), 100) + 0.5
    latency_s = np.full(400, 0.1)
    outcomes = np.full(400, Outcome.SERVED, np.uint8)
    latency_s[0] = 2.0
    latency_s[100:102] = 0.46
    outcomes[200:202] = Outcome.REFUSED
    course = Course(arrived_s, latency_s, outcomes, [], 0.0, 0, 0, 0.0)
    assert service_level.broken_seconds(course, profile, cluster).tolist() == [False, True, True, False]


def test_the_cheapest_of_those_with_about_the_shortest_breaks_is_best() -> None:
    """A break that is longer by a tenth is as good, one twice as long is not, however cheap."""

    def row(queue: float, broken_s: float, pod_s: float) -> Row:
        setting = Setting(queue, None, "default", "default", 1)
        return Row(setting, {"step": {"broken_s": broken_s, "pod_s": pod_s}})

    rows = [row(1, 50, 2000), row(2, 55, 1000), row(3, 100, 100)]
    assert choice.best(rows).setting.queue == 2


def test_times_of_passes_are_found_again_in_a_record() -> None:
    """Passes that took what a rule says, alone or in pairs, give that rule back."""
    record, now = [], 0.0
    for size in (1, 2, 4, 8) * 10:
        took_s = 0.01 + 0.02 * size
        record += [TimedPass(now, now + took_s, size), TimedPass(now, now + took_s, size)]
        now += took_s + 0.01
        record.append(TimedPass(now, now + 0.02, 1))
        now += 0.03
    times = passes.fit(record, 8)
    assert times.shared_s == pytest.approx([0.01 + 0.02 * size for size in range(1, 9)], rel=1e-3)
    assert times.alone_s[0] == pytest.approx(0.02, rel=1e-3)
    assert times.factors == pytest.approx([1.0] * len(times.factors), rel=1e-3)
    assert times.counts == (60, 20, 0, 20, 0, 0, 0, 20)


def test_a_machine_that_has_become_slower_is_noticed() -> None:
    """Passes that took twice what the figures say, alone and in company, are slower by two."""
    pair = [TimedPass(0, 2 * POD.shared_s[3], 4)] * 2
    alone = [TimedPass(9, 9 + 2 * POD.alone_s[0], 1)]
    assert passes.slowness(pair * 2 + alone, POD) == pytest.approx(2.0)


def test_too_short_a_record_is_refused() -> None:
    """A figure that nobody watched is not made up."""
    with pytest.raises(ValueError, match="too few passes"):
        passes.fit([TimedPass(0, 1, 1)], 8)


def test_figures_come_back_from_their_json() -> None:
    """What a run has published can be simulated again."""
    assert pod_of(json.loads(json.dumps(asdict(POD)))) == POD


def test_a_card_computes_one_pass_after_the_other() -> None:
    """Two passes at once take as long as one after the other, so the capacity is that of one."""
    card = assumed_card(0.012, 0.0025, 30.0, 0.0)
    assert card.capacity == pytest.approx(256 / (0.012 + 0.0025 * 256))


@pytest.mark.integration
def test_the_benchmark_simulates_what_was_measured_earlier(tmp_path: Path) -> None:
    """A quick run without measuring prints all figures, as its file has them, and draws the picture."""
    earlier = tmp_path / "earlier.json"
    earlier.write_text(json.dumps({"measured": {"pod": asdict(POD)}}))
    picture = tmp_path / "picture.png"
    command = [sys.executable, "-m", "benchmarks.autoscaling", "--quick", "--measured", str(earlier)]
    command += ["--results", str(tmp_path), "--picture", str(picture)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    assert {"assumed", "chosen", "targets", "ups", "downs", "minima", "picture", "card_assumed"} <= set(found)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "autoscaling.json").read_text())["chosen"] == found["chosen"]

"""The simulated pod beside the real one, under the same arrivals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from benchmarks.autoscaling.figures import ClusterFigures, PodFigures
from benchmarks.autoscaling.measure import Point
from benchmarks.autoscaling.simulation import Cluster, Outcome
from benchmarks.embedder.load import Arrival

_REFUSED = "RESOURCE_EXHAUSTED"
# Time for what is under way at the last arrival to end.
_TAIL_S = 30.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What a pod did: images a pass, the mean wait for a pass, the mean queue (Little's law), latencies."""

    mean_batch: float
    mean_wait_ms: float
    mean_queue: float
    p50_ms: float | None
    p99_ms: float | None
    refused_share: float
    served_share: float


def compare(points: Sequence[Point], pod: PodFigures, *, deadline_s: float) -> list[dict[str, object]]:
    """For each point what was measured and what was simulated with the very times of its arrivals.

    What is to be shown is how calls queue. How fast the machine was in that very minute is taken from it: the
    passes of the simulation are longer by the point's `slowness`.
    """
    rows = []
    for point in points:
        measured = _measured(point)
        factors = tuple(point.slowness * factor for factor in pod.factors)
        simulated = _simulated(point, replace(pod, factors=factors), deadline_s)
        rows.append(
            {
                "arrivals_per_s": round(point.rate, 1),
                "of_capacity": round(point.rate / pod.capacity, 2),
                "slowness": point.slowness,
                "measured": asdict(measured),
                "simulated": asdict(simulated),
            }
        )
    return rows


def _measured(point: Point) -> Seen:
    arrivals = point.arrivals
    return _seen(
        [each.latency_s for each in arrivals if each.code == "OK"],
        sum(each.code == _REFUSED for each in arrivals),
        len(arrivals),
        point.mean_batch,
        point.mean_wait_s,
        arrivals[-1].at_s,
    )


def _simulated(point: Point, pod: PodFigures, deadline_s: float) -> Seen:
    arrived_s = np.sort([_sent_s(each) for each in point.arrivals])
    cluster = Cluster(pod, ClusterFigures(gateways=1), None, replicas=1, deadline_s=deadline_s, seed=0)
    course = cluster.run(arrived_s, float(arrived_s[-1]) + _TAIL_S)
    return _seen(
        course.latency_s[course.outcomes == Outcome.SERVED].tolist(),
        course.count(Outcome.REFUSED),
        len(arrived_s),
        course.pass_items / max(1, course.passes),
        course.waited_s / max(1, course.pass_items),
        float(arrived_s[-1]),
    )


def _sent_s(arrival: Arrival) -> float:
    return arrival.at_s + arrival.late_s


def _seen(
    served_s: Sequence[float], refused: int, arrivals: int, batch: float, wait_s: float, seconds: float
) -> Seen:
    p50, p99 = np.quantile(np.array(served_s) * 1e3, [0.5, 0.99]) if served_s else (None, None)
    return Seen(
        mean_batch=round(batch, 2),
        mean_wait_ms=round(wait_s * 1e3, 1),
        mean_queue=round(wait_s * len(served_s) / seconds, 2),
        p50_ms=None if p50 is None else round(float(p50), 1),
        p99_ms=None if p99 is None else round(float(p99), 1),
        refused_share=round(refused / arrivals, 4),
        served_share=round(len(served_s) / arrivals, 4),
    )

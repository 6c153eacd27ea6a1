"""What a course means for shoppers and for the bill."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.autoscaling.figures import ClusterFigures
from benchmarks.autoscaling.simulation import Course, Outcome
from benchmarks.autoscaling.traffic import Profile

# So many good seconds in a row, and the objective is kept again.
_CALM_S = 30


@dataclass(frozen=True, slots=True)
class Service:
    """The figures of one course.

    A second breaks the objective when fewer of those who arrived in it than `slo_share` were answered within
    `slo_s`, refused ones included. `broken_s` counts such seconds from the surge on; `recovered_after_s` is
    how long after the surge the first calm half minute begins, None where there is none. `overshoot` is the
    most pods over the most that were needed, which is the highest rate over what a pod can do.
    """

    arrivals: int
    served: int
    refused: int
    late: int
    refused_share: float
    broken_s: int
    recovered_after_s: float | None
    in_time_share: float
    peak_waiting: int
    peak_pods: int
    overshoot: float
    pod_s: float
    p99_s: float


def of(course: Course, profile: Profile, cluster: ClusterFigures, capacity: float) -> Service:
    """The figures of a course over a profile, with pods of that capacity in images a second."""
    good = in_time(course, cluster)
    broken = broken_seconds(course, profile, cluster)
    surge = int(profile.surge_s)
    refused, served = course.count(Outcome.REFUSED), course.count(Outcome.SERVED)
    after = course.arrived_s >= profile.surge_s
    needed = max(rate for _, rate in profile.points) / capacity
    peak_pods = max(moment.pods for moment in course.moments)
    latencies_s = course.latency_s[(course.outcomes == Outcome.SERVED) & after] + cluster.rest_s
    return Service(
        arrivals=len(good),
        served=served,
        refused=refused,
        late=course.count(Outcome.LATE),
        refused_share=round(refused / max(1, len(good)), 4),
        broken_s=int(broken[surge:].sum()),
        recovered_after_s=_calm_after(broken[surge:]),
        in_time_share=round(float(good[after].mean()), 4) if after.any() else 1.0,
        peak_waiting=max(moment.waiting for moment in course.moments),
        peak_pods=peak_pods,
        overshoot=round(peak_pods / needed, 2),
        pod_s=round(course.pod_s),
        p99_s=round(float(np.quantile(latencies_s, 0.99)), 3) if len(latencies_s) else 0.0,
    )


def in_time(course: Course, cluster: ClusterFigures) -> npt.NDArray[np.bool_]:
    """Whether each arrival was answered within the objective, bool [n]; one that still waits has not been."""
    with np.errstate(invalid="ignore"):
        quick = course.latency_s + cluster.rest_s <= cluster.slo_s
    served: npt.NDArray[np.bool_] = course.outcomes == Outcome.SERVED
    return quick & served


def broken_seconds(course: Course, profile: Profile, cluster: ClusterFigures) -> npt.NDArray[np.bool_]:
    """Whether each second breaks the objective, bool [seconds]; one without arrivals does not."""
    seconds = int(profile.end_s)
    second = np.minimum(course.arrived_s.astype(int), seconds - 1)
    came = np.bincount(second, minlength=seconds)
    kept = np.bincount(second, weights=in_time(course, cluster), minlength=seconds)
    broken: npt.NDArray[np.bool_] = kept < cluster.slo_share * came
    return broken


def _calm_after(broken: npt.NDArray[np.bool_]) -> float | None:
    """The first second from which on hardly any of half a minute breaks the objective."""
    if len(broken) < _CALM_S:
        return None
    # One slow answer among a few dozen breaks a second, which is no reason for alarm: one of ten may.
    bad = np.convolve(broken, np.ones(_CALM_S), "valid")
    calm = np.flatnonzero((bad <= _CALM_S / 10) & ~broken[: len(bad)])
    return float(calm[0]) if len(calm) else None

"""The course of a step, drawn."""

from __future__ import annotations

import itertools
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.autoscaling import service_level
from benchmarks.autoscaling.figures import ClusterFigures
from benchmarks.autoscaling.simulation import Course, Outcome
from benchmarks.autoscaling.traffic import Profile

mpl.use("Agg")

_SIZE_INCHES = (9.0, 9.5)
_DPI = 110
_ROWS = 4


def draw(
    path: Path, course: Course, profile: Profile, cluster: ClusterFigures, *, capacity: float, title: str
) -> None:
    """Write a PNG: arrivals and what became of them, pods, who waits, the slowest hundredth.

    The background is red where the objective is broken.
    """
    figure = Figure(figsize=_SIZE_INCHES, dpi=_DPI, layout="constrained")
    rows: list[Axes] = list(figure.subplots(_ROWS, 1, sharex=True))
    seconds = np.arange(int(profile.end_s))
    refused = course.outcomes == Outcome.REFUSED
    in_time = service_level.in_time(course, cluster)
    rows[0].plot(
        seconds, _per_second(course, ~np.isnan(course.arrived_s), len(seconds)), color="0.6", label="arrivals"
    )
    rows[0].plot(
        seconds, _per_second(course, in_time, len(seconds)), color="tab:green", label="answered in time"
    )
    rows[0].plot(seconds, _per_second(course, refused, len(seconds)), color="tab:red", label="refused")
    rows[0].set_ylabel("a second")
    at_s = [moment.at_s for moment in course.moments]
    needed = np.array([rate for _, rate in profile.points]) / capacity
    rows[1].step(at_s, [moment.pods for moment in course.moments], where="post", label="pods")
    rows[1].step(
        at_s, [moment.serving for moment in course.moments], where="post", label="pods that get traffic"
    )
    rows[1].plot(
        [at for at, _ in profile.points], needed, "--", color="0.6", label="arrivals over a pod's most"
    )
    rows[1].set_ylabel("pods")
    rows[2].plot(at_s, [moment.waiting for moment in course.moments], color="tab:purple")
    rows[2].set_ylabel("calls inside, all pods")
    beside = rows[2].twinx()
    beside.plot(at_s, [moment.busy for moment in course.moments], color="tab:orange", linewidth=1)
    beside.set_ylabel("busy ratio, mean", color="tab:orange")
    beside.set_ylim(0, 1.05)
    rows[3].plot(seconds, _p99_s(course, cluster, len(seconds)), color="tab:blue", label="p99 of a search")
    rows[3].axhline(cluster.slo_s, color="tab:red", linestyle="--", label=f"objective, {cluster.slo_s:g} s")
    rows[3].set_ylabel("seconds")
    rows[3].set_xlabel("seconds")
    broken = service_level.broken_seconds(course, profile, cluster)
    for axes in rows:
        for second in np.flatnonzero(broken).tolist():
            axes.axvspan(second, second + 1, color="tab:red", alpha=0.12, linewidth=0)
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, profile.end_s)
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="best", fontsize="small")
    rows[0].set_title(title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})


def _per_second(course: Course, which: npt.NDArray[np.bool_], seconds: int) -> npt.NDArray[np.int_]:
    counts: npt.NDArray[np.int_] = np.bincount(course.arrived_s[which].astype(int), minlength=seconds)
    return counts[:seconds]


def _p99_s(course: Course, cluster: ClusterFigures, seconds: int) -> npt.NDArray[np.float64]:
    """By second of arrival, float64 [seconds], NaN where nobody was answered."""
    served = course.outcomes == Outcome.SERVED
    second = course.arrived_s[served].astype(int)
    latency_s = course.latency_s[served] + cluster.rest_s
    # Arrivals are in order, so each second is a slice.
    edges = np.searchsorted(second, np.arange(seconds + 1))
    return np.array(
        [
            np.quantile(latency_s[begin:end], 0.99) if end > begin else np.nan
            for begin, end in itertools.pairwise(edges)
        ]
    )

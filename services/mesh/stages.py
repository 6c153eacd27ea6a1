"""How long the stages of a request take: in its response, as a histogram, and over the last times."""

from __future__ import annotations

import functools
import math
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import Histogram

from services.mesh import trace
from services.mesh.metrics import LATENCY_BUCKETS_S
from vitrine.v1 import common_pb2, status_pb2

WINDOW = 1_000
MAX_STAGES = 64

_STAGE_SECONDS = Histogram(
    "vitrine_stage_seconds", "Time spent in one stage of a request.", ["stage"], buckets=LATENCY_BUCKETS_S
)
# The histogram looks its labels up under a lock, each time.
_histogram = functools.cache(_STAGE_SECONDS.labels)


class Windows:
    """The last durations of each stage: WINDOW of each, of the first MAX_STAGES that are named.

    Each operation is one step of the interpreter's, so that threads need no lock.
    """

    def __init__(self) -> None:
        self._durations_s: dict[str, deque[float]] = {}

    def open(self, stage: str) -> deque[float] | None:
        """The stage's window, made when it is new; None beyond MAX_STAGES."""
        found = self._durations_s.get(stage)
        if found is None and len(self._durations_s) < MAX_STAGES:
            found = self._durations_s.setdefault(stage, deque(maxlen=WINDOW))
        return found

    def record(self, stage: str, duration_s: float) -> None:
        """Take in one more duration, in place of the oldest where there are WINDOW."""
        window = self.open(stage)
        if window is not None:
            window.append(duration_s)

    def latencies(self) -> list[status_pb2.StageLatency]:
        """What the windows that hold something come to, in the order in which stages were first named."""
        found = []
        for stage, window in tuple(self._durations_s.items()):
            ordered_s = sorted(window)
            if ordered_s:
                p50_ms, p95_ms, p99_ms = (
                    round(nearest_rank(ordered_s, percent) * 1e3, 3) for percent in (50, 95, 99)
                )
                found.append(
                    status_pb2.StageLatency(
                        stage=stage, count=len(ordered_s), p50_ms=p50_ms, p95_ms=p95_ms, p99_ms=p99_ms
                    )
                )
        return found


def nearest_rank(ordered: Sequence[float], percent: int) -> float:
    """The least of one or more values, which ascend, that `percent` of 100 of them do not exceed.

    That is numpy's `inverted_cdf` (Hyndman and Fan 1996, "Sample Quantiles in Statistical Packages", type 1).
    """
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1]


_windows = Windows()


def declare(stages: Iterable[str], *, prefix: str = "") -> None:
    """Let the histograms of these stages exist from the start, at zero, and their windows in this order."""
    for stage in stages:
        _histogram(prefix + stage)
        _windows.open(stage)


def latencies() -> list[status_pb2.StageLatency]:
    """How long the stages of this process took the last times."""
    return _windows.latencies()


def tell(timings: Sequence[common_pb2.StageTiming]) -> None:
    """Tell the present trace of stages that have just ended, one after another.

    For those that a thread has timed which answers many requests at once and knows no trace.
    """
    if trace.is_recorded():
        start_ns = time.time_ns() - sum(int(timing.duration_ms * 1e6) for timing in timings)
        for timing in timings:
            start_ns = _tell(timing.stage, start_ns, timing.duration_ms / 1e3)


def _tell(name: str, start_ns: int, duration_s: float) -> int:
    end_ns = start_ns + int(duration_s * 1e9)
    if span := trace.start("internal", name, start_ns=start_ns):
        span.end({}, end_ns=end_ns)
    return end_ns


class StageClock:
    """Collects the stage timings of one request.

    In the histogram its stages have a `prefix`, where other requests have stages of the same names: one that
    is slow in imports must not look as if it were slow in searches.
    """

    def __init__(self, *, prefix: str = "") -> None:
        self._prefix = prefix
        self._durations_s: dict[str, float] = {}
        # Where the span of a stage begins of which nothing but its duration is known.
        self._told_until_ns = time.time_ns() if trace.is_recorded() else 0

    @property
    def timings(self) -> list[common_pb2.StageTiming]:
        """What was timed so far, in order of first mention; a stage that came several times is added up."""
        return [
            common_pb2.StageTiming(stage=stage, duration_ms=round(duration_s * 1e3, 3))
            for stage, duration_s in self._durations_s.items()
        ]

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what runs inside as the stage `name`."""
        start = time.perf_counter()
        try:
            with trace.start("internal", name) or trace.NO_SPAN:
                yield
        finally:
            self._add(name, time.perf_counter() - start)
            if self._told_until_ns:
                self._told_until_ns = time.time_ns()

    def record(self, name: str, duration_s: float) -> None:
        """Add a stage that was timed elsewhere. In a trace it follows the one before."""
        self._add(name, duration_s)
        if self._told_until_ns:
            self._told_until_ns = _tell(name, self._told_until_ns, duration_s)

    def _add(self, name: str, duration_s: float) -> None:
        _histogram(self._prefix + name).observe(duration_s)
        _windows.record(name, duration_s)
        self._durations_s[name] = self._durations_s.get(name, 0.0) + duration_s

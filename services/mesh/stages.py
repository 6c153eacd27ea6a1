"""How long the stages of a request take: in its response, and as a histogram."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import Histogram

from services.mesh.metrics import LATENCY_BUCKETS_S
from vitrine.v1 import common_pb2

_STAGE_SECONDS = Histogram(
    "vitrine_stage_seconds", "Time spent in one stage of a request.", ["stage"], buckets=LATENCY_BUCKETS_S
)


def declare(stages: Iterable[str]) -> None:
    """Let the histograms of these stages exist from the start, at zero."""
    for stage in stages:
        _STAGE_SECONDS.labels(stage)


class StageClock:
    """Collects the stage timings of one request."""

    def __init__(self) -> None:
        self._durations_s: dict[str, float] = {}

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
            yield
        finally:
            self.record(name, time.perf_counter() - start)

    def record(self, name: str, duration_s: float) -> None:
        """Add a stage that was timed elsewhere."""
        _STAGE_SECONDS.labels(name).observe(duration_s)
        self._durations_s[name] = self._durations_s.get(name, 0.0) + duration_s

from __future__ import annotations

import threading
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from services.mesh import stages
from services.mesh.stages import MAX_STAGES, WINDOW, StageClock, Windows, declare, nearest_rank


def _count(stage: str) -> float | None:
    return REGISTRY.get_sample_value("vitrine_stage_seconds_count", {"stage": stage})


def test_stages_exist_before_they_happen() -> None:
    """A declared stage is zero in the histogram, and one that ran is counted and in the response."""
    declare(["test-decode"])
    assert _count("test-decode") == 0
    clock = StageClock()
    with clock.stage("test-decode"):
        pass
    clock.record("test-forward", 0.0125)
    assert [(timing.stage, timing.duration_ms) for timing in clock.timings][1] == ("test-forward", 12.5)
    assert clock.timings[0].duration_ms >= 0
    assert _count("test-decode") == 1


def test_a_stage_that_fails_took_time_too() -> None:
    """An error passes through, and the time until it is kept."""
    clock = StageClock()
    with pytest.raises(ValueError, match="broken"), clock.stage("test-broken"):
        raise ValueError("broken")
    assert [timing.stage for timing in clock.timings] == ["test-broken"]


def test_a_process_tells_how_long_its_stages_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """What clocks recorded lately is summed up by stage; what never happened is left out."""
    monkeypatch.setattr(stages, "_windows", Windows())
    declare(["test-declared", "test-never"])
    for duration_s in (0.001, 0.002, 0.004):
        StageClock().record("test-declared", duration_s)
    told = {each.stage: each for each in stages.latencies()}
    found = told["test-declared"]
    assert (found.count, found.p50_ms, found.p95_ms, found.p99_ms) == (3, 2.0, 4.0, 4.0)
    assert "test-never" not in told


class TestWindows:
    def test_only_the_last_durations_count(self) -> None:
        """What is older than the window says nothing of how long a stage takes now."""
        windows = Windows()
        for _ in range(WINDOW):
            windows.record("search", 10.0)
        for _ in range(WINDOW):
            windows.record("search", 0.5)
        [found] = windows.latencies()
        assert (found.count, found.p50_ms, found.p99_ms) == (WINDOW, 500, 500)

    def test_stages_come_in_the_order_in_which_they_were_declared(self) -> None:
        """Readers find the stages of a request in the order in which they happen."""
        windows = Windows()
        for stage in ("embed", "search", "rank"):
            windows.open(stage)
        for stage in ("rank", "embed", "search"):
            windows.record(stage, 0.1)
        assert [each.stage for each in windows.latencies()] == ["embed", "search", "rank"]

    def test_names_are_limited(self) -> None:
        """Beyond the limit no stage is added, and those that there are go on."""
        windows = Windows()
        for place in range(MAX_STAGES + 10):
            windows.record(f"stage{place}", 0.1)
        windows.record("stage0", 0.1)
        found = {each.stage: each.count for each in windows.latencies()}
        assert len(found) == MAX_STAGES
        assert found["stage0"] == 2

    def test_threads_record_while_others_read(self) -> None:
        """Reading meets no window half-way, and nothing is lost."""
        windows = Windows()

        def record() -> None:
            for place in range(5_000):
                windows.record(f"stage{place % 3}", 1e-3)

        threads = [threading.Thread(target=record) for _ in range(2)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            assert all(each.p99_ms == 1 for each in windows.latencies())
        assert [each.count for each in windows.latencies()] == [WINDOW] * 3


@given(st.integers(0, 2**32 - 1), st.integers(1, 200), st.sampled_from([1, 50, 95, 99, 100]))
def test_a_percentile_is_one_of_the_values(seed: int, count: int, percent: int) -> None:
    """It is numpy's by the inverted distribution: a value that so many of the values do not exceed."""
    # Drawn at once, as to draw them one by one takes most of the time; some are equal.
    ordered = np.sort(np.random.default_rng(seed).integers(0, 100, count) / 10).tolist()
    assert nearest_rank(ordered, percent) == np.percentile(ordered, percent, method="inverted_cdf")


def test_percentiles_ascend() -> None:
    """Of the numbers 1 to 100 each percentile is itself."""
    found = [nearest_rank(range(1, 101), percent) for percent in range(1, 101)]
    assert found == list(range(1, 101))
    assert all(lower < higher for lower, higher in pairwise(found))

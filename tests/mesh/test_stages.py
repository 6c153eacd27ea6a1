from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

from services.mesh.stages import StageClock, declare


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

"""The benchmarks, run short: every figure is there. How good they are is no test's business."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest

from tests.benchmarks.conftest import ROOT, QuickRuns

pytestmark = pytest.mark.integration

RATIOS = (
    "tensor_serving_ratio",
    "tensor_serving_ratio_parallel",
    "jpeg_serving_ratio",
    "cpu_dtype_speedup",
    "single_latency_over_bare",
    "single_latency_over_bare_tiny",
    "mean_batch_images",
    "rss_mb",
    "quiet_p99_ms",
)


def test_the_embedder_is_measured_in_every_respect(quick_runs: QuickRuns) -> None:
    """A quick run prints all figures, as its file has them, with the raw latencies beside them."""
    found, results = quick_runs("embedder")
    assert {name: found[name] for name in RATIOS if not 0 < found[name] < math.inf} == {}
    assert found["quick"]
    assert 0 <= found["overload_goodput_ratio"] < math.inf
    assert "overload_reject_p99_ms" in found
    assert sum(found["overload"]["outcomes"].values()) > 0
    assert 0 <= found["dead_work_ratio"] <= 1
    assert found["departures"]["departed"] > 0
    assert {"decode", "queue", "forward"} <= set(found["stages_ms"])
    peers = found["peers"]
    assert peers["ours"]["images_per_s"] > 0
    assert peers["fastapi_tuned"]["ours_over_peer"]["images_per_s"] > 0
    assert "unavailable" in peers["litserve_tuned"] or peers["litserve_tuned"]["images_per_s"] > 0
    written = json.loads((results / "embedder.json").read_text())
    assert written.pop("raw_s")["served_single"]
    assert written == found


def test_what_measures_a_card_runs_without_one(quick_runs: QuickRuns) -> None:
    """On the CPU the same program compares a device with itself, and FAISS with numpy."""
    found, _ = quick_runs("gpu")
    assert found["resnet50"]["served_images_per_s"]["jpeg"]["8"] > 0
    assert found["agreement"]["min_cosine"] > 0.999
    assert found["faiss"]["cpu"]["recall_at_10"] == 1
    assert "random weights" in found["clip"]["weights"] or "served_images_per_s" in found["clip"]


def test_without_a_card_there_is_nothing_to_measure() -> None:
    """Where torch sees no card, the program says so and ends with a status of its own."""
    command = [sys.executable, "-m", "benchmarks.gpu"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    if ended.returncode != 3:
        pytest.skip("there is a card here")
    assert "no CUDA card" in ended.stderr

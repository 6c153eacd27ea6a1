"""The benchmark of vectorsearch, run short: every figure is there. How good they are, no test asks."""

from __future__ import annotations

import json
import math

import pytest

from tests.benchmarks.conftest import QuickRuns

pytestmark = pytest.mark.integration

FIGURES = (
    "coalescing_gain",
    "batch_efficiency",
    "filtered_over_unfiltered",
    "p99_while_writing",
    "hybrid_over_bare_flat",
)
SHARES = ("unfiltered", "0.01%", "1.00%", "10.00%", "50.00%", "99.00%")


def test_vectorsearch_is_measured_in_every_respect(quick_runs: QuickRuns) -> None:
    """A quick run prints all figures, as its file has them, with the raw latencies beside them."""
    found, results = quick_runs("vectorsearch")
    assert found["quick"]
    assert {name: found[name] for name in FIGURES if not 0 < found[name] < math.inf} == {}
    assert found["recall_exact"] == 1
    assert found["hybrid_overlap_at_10"] == 1
    size = found["sizes"]["2000x512"]
    assert size["vectors"].startswith("made up")
    assert size["echo_p50_ms"] > 0
    assert size["echo_p99_ms"] > 0
    assert {"hop_p50_ms", "hop_p99_ms"} <= size.keys()
    assert tuple(size["filtered"]) == SHARES
    assert {row["recall"] for row in size["filtered"].values()} == {1}
    assert size["writing_errors"] == 0
    assert size["kinds"]
    assert size["memory_over_live"]["rss"] > 0
    assert found["restart_ready_s"] is None or found["restart_ready_cold_s"] > 0
    assert found["peers"]["ours"]["queries_per_s"] > 0
    assert found["peers"]["faiss_naive"]["ours_over_peer"]["queries_per_s"] > 0
    written = json.loads((results / "vectorsearch.json").read_text())
    assert written.pop("raw_s")["2000x512_served_single"]
    assert written == found

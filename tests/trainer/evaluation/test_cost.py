from __future__ import annotations

import sys

import numpy as np
import pytest

from services.embedder.towers import Space
from services.trainer.evaluation import cost
from services.trainer.evaluation.cost import Latency
from tests.trainer.evaluation.shops import shop

SPACE = Space("colour", "mean", 8, accepts_text=False, digest="c0")
CATALOGUE = shop(*[{}] * 6, photos=[2, 1, 1, 1, 1, 1])
VECTORS = np.eye(7, 8, dtype=np.float32)


def test_the_cost_of_a_space_is_measured_in_a_shard() -> None:
    """Bytes are those of the vectors and of all that the shard holds for them; latencies are in order."""
    measured = cost.measure(CATALOGUE, SPACE, VECTORS, VECTORS[:2])
    assert measured is not None
    assert measured.vector_bytes == 7 * 8 * 4
    assert measured.index_bytes >= measured.vector_bytes
    assert 0 < measured.query_ms.p50 <= measured.query_ms.p95


def test_without_vectorsearch_there_is_no_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trainer is installed without it, and evaluates all the same."""
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert cost.measure(CATALOGUE, SPACE, VECTORS, VECTORS[:2]) is None


def test_latencies_are_percentiles_in_milliseconds() -> None:
    """Of 1 to 100 milliseconds."""
    assert Latency.of([each / 1000 for each in range(1, 101)]) == Latency(50.5, 95.05)

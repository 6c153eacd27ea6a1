from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.hedging import (
    BUDGET_SHARE,
    MAX_TOKENS,
    MIN_SAMPLES,
    WINDOW_SAMPLES,
    HedgeBudget,
    Latencies,
)


def test_few_samples_tell_nothing() -> None:
    """There is no percentile before there are enough samples."""
    latencies = Latencies()
    for _ in range(MIN_SAMPLES - 1):
        latencies.add(1.0)
    assert latencies.slow_s is None
    latencies.add(1.0)
    assert latencies.slow_s == pytest.approx(1.0)


@given(st.lists(st.floats(0, 10), min_size=MIN_SAMPLES, max_size=2 * WINDOW_SAMPLES))
def test_slow_is_the_percentile_of_the_window(samples: list[float]) -> None:
    """One in twenty of the samples in the window is as slow or slower, whatever came before them."""
    latencies = Latencies()
    for sample in samples:
        latencies.add(sample)
    window = samples[-WINDOW_SAMPLES:]
    slow_s = latencies.slow_s or 0.0
    assert sum(sample > slow_s for sample in window) <= 0.05 * len(window)
    assert sum(sample >= slow_s for sample in window) >= 0.05 * len(window) - 1


def test_the_percentile_follows() -> None:
    """When all calls become slower, slow soon means slower."""
    latencies = Latencies()
    for _ in range(WINDOW_SAMPLES):
        latencies.add(0.001)
    assert latencies.slow_s == pytest.approx(0.001)
    for _ in range(WINDOW_SAMPLES // 10):
        latencies.add(1.0)
    assert latencies.slow_s == pytest.approx(1.0)


@given(st.lists(st.booleans(), max_size=2000))
def test_hedges_stay_within_their_share(wants: list[bool]) -> None:
    """However calls want hedges, at most one in twenty of the calls so far has one."""
    budget = HedgeBudget()
    hedges = 0
    for calls, wanted in enumerate(wants, 1):
        budget.earn()
        hedges += wanted and budget.spend()
        assert hedges <= calls * BUDGET_SHARE + 1e-9


def test_savings_are_bounded() -> None:
    """However long no hedge was needed, only a few may follow each other."""
    budget = HedgeBudget()
    for _ in range(10_000):
        budget.earn()
    assert sum(budget.spend() for _ in range(100)) == MAX_TOKENS

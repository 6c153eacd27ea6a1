"""The parts of the observability benchmark that decide what a figure is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.observability.interval import ratio_of_sums
from benchmarks.observability.load import parts
from benchmarks.observability.plan import FULL, QUICK, SCRAPE_PERIOD_S, Plan

_MS = st.floats(1.0, 1e3)


@given(st.lists(st.tuples(_MS, _MS), min_size=1, max_size=20))
def test_a_ratio_is_within_its_bounds_and_they_within_the_rounds(pairs: list[tuple[float, float]]) -> None:
    """No bound is beyond the round that differs most."""
    first, second = zip(*pairs, strict=True)
    found = ratio_of_sums(first, second)
    ratios = [one / other for one, other in pairs]
    slack = 1e-9 * max(ratios)
    assert min(ratios) - slack <= found.low <= found.high <= max(ratios) + slack
    assert min(ratios) - slack <= found.ratio <= max(ratios) + slack


def test_what_both_ways_share_does_not_blur_the_ratio() -> None:
    """Rounds that are slow for both ways are no noise: that is what pairs are for."""
    chance = np.random.default_rng(5)
    second = chance.uniform(10, 30, 12)
    found = ratio_of_sums(list(second * 1.015 * chance.normal(1, 0.001, 12)), list(second))
    assert 1.01 < found.low < found.ratio < found.high < 1.02
    assert found.percent_more()["percent"] == pytest.approx(1.5, abs=0.2)


def test_the_interval_holds_what_it_should() -> None:
    """Of many measurements of a known ratio about 95% have it within their bounds."""
    chance = np.random.default_rng(7)
    held = 0
    for _ in range(100):
        second = chance.normal(20, 1, 20)
        found = ratio_of_sums(list(second * chance.normal(1.02, 0.01, 20)), list(second))
        held += found.low <= 1.02 <= found.high
    assert held >= 85


@pytest.mark.parametrize(("first", "second"), [([], []), ([1.0], [1.0, 2.0])])
def test_rounds_come_in_pairs(first: list[float], second: list[float]) -> None:
    """What was not measured both ways is refused."""
    with pytest.raises(ValueError, match="both ways"):
        ratio_of_sums(first, second)


def test_products_and_new_words_take_turns() -> None:
    """No text comes twice, in no round: the gateway keeps vectors of those it has seen."""
    asked = [*itertools.islice(parts(["a", "b"], seed=0), 400), *itertools.islice(parts(["a"], seed=1), 400)]
    assert [part.WhichOneof("source") for part in asked[:4]] == ["product", "text"] * 2
    texts = [part.text for part in asked[1::2]]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("plan", [FULL, QUICK], ids=lambda plan: plan.name)
def test_arms_are_scraped_as_often_as_prometheus_would(plan: Plan) -> None:
    """There is one scrape for each period that the turns of an arm add up to, and at least one."""
    scrapes = sum(map(plan.is_scraped_in, range(plan.turns)))
    assert scrapes == plan.turns * plan.turn_s // SCRAPE_PERIOD_S
    assert scrapes >= 1

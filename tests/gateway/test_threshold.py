from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway import threshold
from services.gateway.similarity import QueryKind, similarity
from services.gateway.threshold import most_shortfall


@given(
    st.floats(0.01, 100),
    st.sampled_from(list(QueryKind)),
    st.sampled_from(["similar", "clip", "other"]),
    st.floats(0, 3),
)
def test_a_shortfall_is_small_enough_exactly_when_its_similarity_is(
    wanted: float, kind: QueryKind, profile: str, shortfall: float
) -> None:
    """Comparing shortfalls with the greatest one is comparing similarities with the one that is wanted."""
    most = most_shortfall(wanted, kind, profile)
    assert (shortfall <= most) == (similarity(shortfall, kind, profile) >= wanted)
    assert similarity(most, kind, profile) >= wanted
    above = math.nextafter(most, math.inf)
    assert similarity(above, kind, profile) < wanted


def test_a_similarity_that_no_score_has_lets_nobody_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where even the best possible score is less similar than is wanted, no shortfall is small enough."""
    monkeypatch.setattr(threshold, "similarity", lambda shortfall, *_: 50 * (1 - shortfall))
    assert most_shortfall(60, QueryKind.IMAGE, "similar") == -math.inf
    assert most_shortfall(25, QueryKind.IMAGE, "similar") == 0.5

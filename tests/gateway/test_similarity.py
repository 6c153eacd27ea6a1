from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.similarity import QueryKind, band, similarity
from vitrine.v1 import search_pb2

KINDS = st.sampled_from(list(QueryKind))
PROFILES = st.sampled_from(["similar", "same_style", "resnet50", "clip", "triplet", "colour", "another"])
SHORTFALLS = st.floats(-1, 6)


@given(SHORTFALLS, SHORTFALLS, KINDS, PROFILES)
def test_it_never_contradicts_the_score(one: float, other: float, kind: QueryKind, profile: str) -> None:
    """What lacks more is never more similar, and everything is between 0 and 100."""
    high, low = (similarity(shortfall, kind, profile) for shortfall in sorted((one, other)))
    assert 0 <= low <= high <= 100


@given(KINDS, PROFILES)
def test_the_best_possible_score_is_100(kind: QueryKind, profile: str) -> None:
    """Nothing can be more similar than the best possible score, and the same photo is at 99 and more."""
    assert similarity(0, kind, profile) == 100
    assert similarity(5, kind, profile) == 0
    assert similarity(0.03, QueryKind.IMAGE, profile) >= 99


def test_bands_have_their_borders() -> None:
    """From 70 high, from 40 medium."""
    assert [band(value) for value in (100, 70, 69.99, 40, 39.99, 0)] == [
        search_pb2.BAND_HIGH,
        search_pb2.BAND_HIGH,
        search_pb2.BAND_MEDIUM,
        search_pb2.BAND_MEDIUM,
        search_pb2.BAND_LOW,
        search_pb2.BAND_LOW,
    ]

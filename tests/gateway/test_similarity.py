from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.similarity import QueryKind, band, similarity
from vitrine.v1 import search_pb2

KINDS = st.sampled_from(list(QueryKind))
PROFILES = st.sampled_from(["similar", "resnet50", "clip", "triplet", "another"])
SCORES = st.floats(-2, 2)


@given(SCORES, SCORES, st.floats(0.1, 2), KINDS, PROFILES)
def test_it_never_contradicts_the_score(
    one: float, other: float, best: float, kind: QueryKind, profile: str
) -> None:
    """A higher score is never less similar, and everything is between 0 and 100."""
    low, high = (similarity(score, best, kind, profile) for score in sorted((one, other)))
    assert 0 <= low <= high <= 100


@given(KINDS, PROFILES)
def test_the_best_possible_score_is_100(kind: QueryKind, profile: str) -> None:
    """Nothing can be more similar than the best possible score, and the same photo is at 99 and more."""
    assert similarity(1.3, 1.3, kind, profile) == 100
    assert similarity(0, 1.3, kind, profile) == 0
    assert similarity(1, 0, kind, profile) == 0
    assert similarity(0.97, 1, QueryKind.IMAGE, profile) >= 99


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

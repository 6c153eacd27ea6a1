from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ranker import votes
from services.ranker.candidates import Candidates
from tests.ranker.columns import candidates, column

_VISUAL = {"resnet50": 0.5, "clip": 0.25, "colour": 0.25}

_LABEL = st.one_of(
    st.none(), st.sampled_from(["Men", "Women"]), st.tuples(st.sampled_from(["Men", "Unisex"]), st.just(0.9))
)
_COSINE = st.one_of(st.just(math.nan), st.floats(-1, 1))
_CANDIDATE = st.tuples(_COSINE, _COSINE, _COSINE, _LABEL)
_Candidate = tuple[float, float, float, str | tuple[str, float] | None]


def _candidates(given_: list[_Candidate]) -> Candidates:
    return candidates(
        [f"p{number}" for number in range(len(given_))],
        dict(zip(_VISUAL, zip(*(each[:3] for each in given_), strict=True), strict=False)),
        {"gender": column(*(each[3] for each in given_))},
    )


def _naive(given_: list[_Candidate], visual: Mapping[str, float], temperature: float) -> dict[str, float]:
    """One candidate after the other, as the method is written down."""
    counted: dict[str, float] = {}
    everything = 0.0
    for each in given_:
        cosines = dict(zip(_VISUAL, each[:3], strict=True))
        total = sum(
            weight * (0.4 if math.isnan(cosines[space]) else cosines[space])
            for space, weight in visual.items()
        )
        weight = math.exp(total / sum(visual.values()) / temperature)
        everything += weight
        if isinstance(each[3], str):
            counted[each[3]] = counted.get(each[3], 0.0) + weight
    return {value: weight / everything for value, weight in counted.items()}


@given(st.lists(_CANDIDATE, max_size=12))
def test_votes_are_counted_as_by_hand(given_: list[_Candidate]) -> None:
    """Vectorised or one by one, by looks or by colour, each stated value gets the same share of all votes."""
    found = _candidates(given_)
    gender = found.labels["gender"]
    looks = {"resnet50": 0.5, "clip": 0.25}
    for weights, visual, temperature in (
        (votes.by_looks(found, _VISUAL), looks, votes._TEMPERATURE),
        (votes.by_colour(found), {"colour": 1.0}, votes._COLOUR_TEMPERATURE),
    ):
        shares = votes.count(gender, weights)
        expected = _naive(given_, visual, temperature)
        if shares is None:
            assert not expected
        else:
            assert shares.sum() <= 1 + 1e-9
            assert shares.tolist() == pytest.approx([expected.get(value, 0.0) for value in gender.values])


def test_only_what_is_stated_is_a_vote() -> None:
    """What was inferred of a candidate is no evidence for others; it is as silent as one without a label."""
    gender = column(("Men", 0.999), "Women", None)
    shares = votes.count(gender, np.array([5.0, 2, 1]))
    assert shares is not None
    assert dict(zip(gender.values, shares.tolist(), strict=True)) == {"Men": 0.0, "Women": 0.25}


def test_votes_for_one_word_are_pooled() -> None:
    """Each spelling has the votes of all of them, also one that nobody states, and other words have none."""
    types = column("T-Shirts", "Tshirts", "tee shirt", "Shirts", ("TSHIRT", 0.9), None)
    shares = votes.count(types, np.array([1.0, 2, 0, 4, 8, 1]))
    assert shares is not None
    pooled = dict(zip(types.values, votes.pooled(types, shares).tolist(), strict=True))
    assert pooled == pytest.approx(
        {"T-Shirts": 3 / 16, "Tshirts": 3 / 16, "tee shirt": 3 / 16, "TSHIRT": 3 / 16, "Shirts": 4 / 16}
    )


def test_where_nobody_states_anything_nobody_votes() -> None:
    """No column, no value in it, none stated, no space with a weight, no candidate: each is no vote."""
    found = candidates("ab", {"clip": [0.9, 0.8]})
    weights = votes.by_looks(found, {"clip": 1.0})
    assert weights is not None
    assert votes.count(None, weights) is None
    assert votes.count(column(None, None), weights) is None
    assert votes.count(column(("Men", 0.9), None), weights) is None
    assert votes.count(column("Men", "Women"), None) is None
    assert votes.by_looks(found, {"clip": 0.0, "triplet": 1.0}) is None
    assert votes.by_colour(found) is None
    assert votes.by_looks(candidates([], {"clip": []}), {"clip": 1.0}) is None


def test_a_missing_vector_is_neutral() -> None:
    """Who has no vector in a space votes as with the neutral cosine there."""
    missing, neutral = (
        votes.by_looks(candidates("ab", {"clip": [0.7, 0.5], "resnet50": [0.6, cosine]}), _VISUAL)
        for cosine in (math.nan, 0.4)
    )
    assert missing is not None
    assert neutral is not None
    assert missing.tolist() == neutral.tolist()


def test_a_vote_fades_with_distance() -> None:
    """Whoever is farther away by the temperature counts less by a factor of e, and the nearest counts 1."""
    near, far = 0.9, 0.9 - votes._TEMPERATURE
    weights = votes.by_looks(candidates("ab", {"clip": [near, far]}), {"clip": 3.0})
    assert weights is not None
    assert weights.tolist() == pytest.approx([1, math.exp(-1)])
    colour = votes.by_colour(candidates("ab", {"colour": [near, near - votes._COLOUR_TEMPERATURE]}))
    assert colour is not None
    assert colour.tolist() == pytest.approx([1, math.exp(-1)])


@given(st.lists(_CANDIDATE, min_size=1, max_size=8), st.floats(0.01, 100))
def test_only_the_proportions_of_weights_count(given_: list[_Candidate], factor: float) -> None:
    """A profile whose weights are all larger is the same profile, and colours do not tell looks."""
    found = _candidates(given_)
    weights = votes.by_looks(found, _VISUAL)
    scaled = votes.by_looks(found, {"resnet50": 0.5 * factor, "clip": 0.25 * factor, "colour": 7.0})
    assert weights is not None
    assert scaled is not None
    np.testing.assert_allclose(scaled, weights, rtol=1e-6)

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ranker.candidates import Doubles
from services.ranker.query import KnownLabel, Neighbours, believe
from services.ranker.taxonomy import GENDERS, gender_of
from services.ranker.trust import INFERRED, corrected
from tests.ranker.columns import candidates, column

_GIVEN = st.lists(
    st.tuples(st.sampled_from([*GENDERS, "Divided", None]), st.sampled_from([*GENDERS, None])), max_size=40
)


def _corrected(shares: Doubles, pairs: list[tuple[str | None, str | None]]) -> Doubles:
    found = candidates(
        [str(number) for number in range(len(pairs))],
        labels={
            "gender": column(*(stated for stated, _ in pairs)),
            INFERRED + "gender": column(*(told and (told, 0.9) for _, told in pairs)),
        },
    )
    return corrected(shares, "gender", GENDERS, gender_of, found)


@given(_GIVEN, st.integers(0, 2**32))
def test_it_is_the_counted_confusion(pairs: list[tuple[str | None, str | None]], seed: int) -> None:
    """What the model said becomes what it meant of those whose shop states it, ten in its favour."""
    shares = np.random.default_rng(seed).dirichlet(np.ones(len(GENDERS)))
    meant = 10 * np.eye(len(GENDERS))
    for stated, told in pairs:
        if stated in GENDERS and told is not None:
            meant[GENDERS.index(told), GENDERS.index(stated)] += 1
    expected = shares @ (meant / meant.sum(axis=1, keepdims=True))
    found = _corrected(shares, pairs)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert found.sum() == pytest.approx(1)


def test_a_model_that_is_always_wrong_here_is_heard_the_other_way_round() -> None:
    """Where the shop calls Women what the model calls Men, a sure Men means Women."""
    sure = np.array([float(gender == "Men") for gender in GENDERS])
    found = _corrected(sure, [("Women", "Men")] * 500)
    assert found[GENDERS.index("Women")] > 0.95


def test_without_both_labels_the_model_keeps_its_word() -> None:
    """A catalogue that states nothing, or of which nothing was inferred, tells nothing of the model."""
    shares = np.full(len(GENDERS), 1 / len(GENDERS))
    for labels in ({}, {"gender": column("Men")}, {INFERRED + "gender": column(("Men", 0.9))}):
        found = candidates("a", labels=labels)
        assert corrected(shares, "gender", GENDERS, gender_of, found) is shares
    unstated = candidates(
        "a", labels={"gender": column(("Men", 0.9)), INFERRED + "gender": column(("Women", 0.9))}
    )
    assert corrected(shares, "gender", GENDERS, gender_of, unstated).tolist() == shares.tolist()


def test_a_belief_is_corrected_before_it_is_mixed() -> None:
    """A model of another shop, wrong half of the time here, leaves the neighbours the say."""
    count = 200
    found = candidates(
        [str(number) for number in range(count)],
        labels={
            "gender": column(*["Men", "Women"] * (count // 2)),
            INFERRED + "gender": column(*[("Men", 0.99)] * count),
        },
    )
    looks = np.array([0.01, 1.0] * (count // 2))
    near = Neighbours(looks=looks)
    belief = believe("", list[KnownLabel](), found, lambda task: {"Men": 0.99, "Women": 0.01}, near).gender
    assert belief is not None
    assert belief.values == ("Women",)
    assert 0.5 < belief.probability < 0.95

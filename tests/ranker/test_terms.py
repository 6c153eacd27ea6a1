from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from services.ranker import terms
from services.ranker.candidates import Candidates
from services.ranker.query import KnownLabel, Query, believe
from services.ranker.terms import Term, measure
from tests.ranker.columns import candidates, column


def _believe(
    text: str = "", labels: Mapping[str, str] | None = None, guess: Mapping[str, float] | None = None
) -> Query:
    known = [KnownLabel(name, value, 1.0) for name, value in (labels or {}).items()]
    return believe(text, known, candidates([]), lambda task: (guess or {}) if task == "gender" else {})


def _term(name: str, found: Candidates, query: Query) -> Term:
    (term,) = measure(found, query, {name: 1.0})
    return term


def test_visual_weights_are_shared_among_the_spaces_present() -> None:
    """A query without a vector in a space gives its weight to others; no vector is neutral."""
    found = candidates("ab", {"resnet50": [0.9, np.nan], "clip": [0.5, 0.3]})
    weights = {"visual.resnet50": 0.4, "visual.clip": 0.4, "visual.triplet": 0.2}
    clip, resnet50 = measure(found, Query(), weights)
    assert (clip.name, resnet50.name) == ("visual.clip", "visual.resnet50")
    assert clip.weight == resnet50.weight == pytest.approx(0.5)
    assert resnet50.values.tolist() == [0.9, 0.4]
    assert resnet50.absent.tolist() == [False, True]


def test_terms_without_meaning_are_left_out() -> None:
    """What the query does not say, or the profile does not weigh, moves nobody."""
    found = candidates("a", {"clip": [0.5]}, {"gender": column("Men")})
    assert [
        term.name for term in measure(found, _believe("shoes"), {"visual.clip": 1.0, terms.GENDER: 0.1})
    ] == ["visual.clip"]
    assert measure(found, _believe("for men"), {terms.TEXT: 1.0, terms.GENDER: 0.0}) == []


def test_gender_agreement_of_stated_values() -> None:
    """The same group agrees fully, unisex nearly, the other sex not; who says nothing is neutral."""
    found = candidates("abcde", labels={"gender": column("Women", "Unisex", "Men", None, "Divided")})
    term = _term(terms.GENDER, found, _believe("for women"))
    assert term.values.tolist() == [1.0, 0.7, 0.0, 0.5, 0.5]
    assert term.absent.tolist() == [False, False, False, True, True]
    assert term.best == 1.0


def test_doubts_on_both_sides_are_weighed() -> None:
    """Agreement is the expectation over what query and candidate may be."""
    found = candidates("ab", labels={"gender": column("Men", ("Men", 0.9))})
    sure, doubtful = _term(terms.GENDER, found, _believe(guess={"Men": 0.8, "Women": 0.2})).values
    assert sure == pytest.approx(0.8)
    assert 0.5 < doubtful < sure


def test_a_guess_cannot_part_a_query_from_its_own_photo() -> None:
    """The same photo agrees with itself as far as anything could, whatever was inferred of either."""
    found = candidates("ab", {"resnet50": [0.999, 0.2]}, {"gender": column(("Women", 0.5), ("Women", 0.5))})
    term = _term(terms.GENDER, found, _believe(guess={"Men": 0.6, "Women": 0.4}))
    assert term.values[0] == term.best > term.values[1]


def test_categories_agree_by_family_and_by_the_shops_own_word() -> None:
    """Types of one family agree, so do products of one category of the shop, and others do not."""
    found = candidates(
        "abcd",
        labels={
            "type": column("Flats", "Tshirts", "Handbags", None),
            "category": column("Shoes", "Topwear", "Bags", "Shoes"),
        },
    )
    heels = _term(terms.CATEGORY, found, _believe(labels={"type": "Heels", "category": "Shoes"}))
    assert heels.values.tolist() == [1.0, 0.0, 0.0, 1.0]
    kurta = _term(terms.CATEGORY, found, _believe(labels={"type": "Kurtas", "category": "Topwear"}))
    assert kurta.values.tolist() == [0.0, 1.0, 0.0, 0.0]


def test_a_catch_all_category_joins_nobody() -> None:
    """Hats and earrings do not agree for being `Accessories`; without a type it is all there is."""
    found = candidates(
        "ab", labels={"type": column("Hat/beanie", None), "category": column("Accessories", "Accessories")}
    )
    earring = _believe(labels={"type": "Earring", "category": "Accessories"})
    assert _term(terms.CATEGORY, found, earring).values.tolist() == [0.0, 1.0]
    unknown = _believe(labels={"category": "Accessories"})
    assert _term(terms.CATEGORY, found, unknown).values.tolist() == [1.0, 1.0]


def test_colours_agree_with_the_closest_one_wanted() -> None:
    """Of several colours wanted the best counts; what is no colour is absent."""
    found = candidates("abcde", labels={"colour": column("Navy Blue", "Red", "Green", "undefined", None)})
    term = _term(terms.COLOUR, found, _believe("red or blue"))
    assert term.values.tolist() == [0.8, 1.0, 0.0, 0.5, 0.5]
    assert term.absent.tolist() == [False, False, False, True, True]


def test_the_share_of_words_that_match() -> None:
    """Of the content words those count that type or category have, an inferred one by its probability."""
    found = candidates(
        "abcd",
        labels={
            "type": column("Sneakers", "Rain Boots", None, None),
            "category": column(None, None, ("footwear", 0.6), None),
        },
    )
    term = _term(terms.TEXT, found, _believe("shoes under the rain"))
    assert term.values.tolist() == pytest.approx([0.5, 1.0, 0.3, 0.5])
    assert term.absent.tolist() == [False, False, False, True]


@pytest.mark.parametrize("name", terms.NAMES)
def test_candidates_without_columns_are_all_absent(name: str) -> None:
    """A catalogue without labels is neutral throughout."""
    term = _term(name, candidates("ab"), _believe("red shoes for women"))
    assert term.values.tolist() == [0.5, 0.5]
    assert term.absent.all()

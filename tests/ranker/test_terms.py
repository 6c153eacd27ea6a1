from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from services.ranker import terms
from services.ranker.candidates import Candidates
from services.ranker.query import Belief, KnownLabel, Neighbours, Query, Source, believe
from services.ranker.taxonomy import FAMILIES, GENDERS
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


def test_a_colour_that_is_asked_for_weighs_more_than_one_that_is_known() -> None:
    """Words have a weight of their own for colours, and that of what is known where a profile lacks it."""
    found = candidates("ab", labels={"colour": column("Red", "Blue")})
    weights = {terms.KNOWN[terms.COLOUR]: 0.1, terms.SAID_COLOUR: 0.2}
    for query, name in (
        (_believe("red"), terms.SAID_COLOUR),
        (_believe(labels={"colour": "Red"}), terms.KNOWN[terms.COLOUR]),
    ):
        (term,) = measure(found, query, weights)
        assert (term.name, term.weight) == (name, weights[name])
        assert term.values.tolist() == [1.0, 0.0]
    (fallback,) = measure(found, _believe("red"), {terms.KNOWN[terms.COLOUR]: 0.1})
    assert fallback.name == terms.KNOWN[terms.COLOUR]


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
    query = replace(_believe("red shoes for women"), type=Belief(Source.STATED, np.empty(0), ("Heels",)))
    weights = {name: 1.0} | {guessed: 1.0 for guessed, known in terms.KNOWN.items() if known == name}
    (term,) = measure(candidates("ab"), query, weights)
    assert term.values.tolist() == [0.5, 0.5]
    assert term.absent.all()


@pytest.mark.parametrize(("weight", "ratio"), [(None, 1.0), (0.0, 0.0), (0.5, 0.25), (2.0, 1.0), (3.0, 1.0)])
def test_what_is_known_counts_fully_against_what_is_stated_alone(weight: float | None, ratio: float) -> None:
    """A guess of a candidate, or none, takes off what it would by the weight of guesses, and never more."""
    offered = ("Men", "Unisex", "Divided", ("Men", 1 - 1e-9), None)
    found = candidates("abcde", labels={"gender": column(*offered)})
    weights = {terms.KNOWN[terms.GENDER]: 2.0} | ({} if weight is None else {terms.GENDER: weight})
    (term,) = measure(found, _believe("for women"), weights)
    assert (term.name, term.weight, term.best) == (terms.KNOWN[terms.GENDER], 2.0, 1.0)
    assert term.values.tolist() == pytest.approx([0, 0.7, 0.5, 1 - ratio, 1 - 0.5 * ratio], abs=1e-6)
    assert term.absent.tolist() == [False, False, True, False, True]


def test_what_is_known_has_weights_of_its_own() -> None:
    """A profile weighs what is stated or said by `known.*` if it has that, even as 0; guesses never."""
    found = candidates(
        "ab",
        {"resnet50": [0.5, 0.999]},
        {
            "gender": column("Men", "Women"),
            "category": column("Shoes", "Bags"),
            "type": column("Heels", "Clutches"),
            "colour": column("Red", "Blue"),
        },
    )
    stated = {"gender": "Men", "category": "Shoes", "type": "Heels", "colour": "Red"}
    near = Neighbours(looks=np.ones(2), colour=np.ones(2))
    unlike = replace(found, spaces=[])
    inferred = believe("", [], unlike, lambda task: {}, near)
    recognised = believe("", [], found, lambda task: {})
    assert recognised.gender is not None
    assert recognised.gender.source is Source.SAME_PHOTO
    known = dict.fromkeys(terms.KNOWN.values(), 2.0)
    guessed = dict.fromkeys(terms.INFERRED, 1.0)
    both = guessed | known

    def weighed(query: Query, weights: Mapping[str, float]) -> dict[str, float]:
        return {term.name: term.weight for term in measure(unlike, query, weights)}

    assert weighed(_believe(labels=stated), both) == known
    assert weighed(_believe("red shoes for men"), both) == {
        name: weight for name, weight in known.items() if name != terms.KNOWN[terms.TYPE]
    }
    assert weighed(inferred, both) == weighed(recognised, both) == guessed
    assert weighed(_believe(labels=stated), guessed) == guessed
    assert weighed(_believe(labels=stated), guessed | dict.fromkeys(terms.KNOWN.values(), 0.0)) == {}
    assert weighed(inferred, known) == {}


def test_a_stated_value_is_worth_its_votes() -> None:
    """Of a voted category, type or colour each candidate's own stated value counts what it was voted."""
    found = candidates(
        "abcde",
        labels={name: column("A", "A", "B", ("A", 0.9), None) for name in ("category", "type", "colour")},
    )
    near = Neighbours(looks=np.array([1.0, 2, 1, 3, 1]), colour=np.array([1.0, 2, 1, 3, 1]))
    query = believe("", [], found, lambda task: {}, near)
    for name in (terms.CATEGORY, terms.TYPE, terms.COLOUR):
        term = _term(name, found, query)
        assert term.best == 0.375
        # Nothing is stated of the last two: they are neutral, and what they lack counts a quarter.
        assert term.values.tolist() == [0.375, 0.375, 0.125, 0.328125, 0.328125]
        assert term.absent.tolist() == [False, False, False, True, True]


def test_every_spelling_is_worth_the_votes_of_all() -> None:
    """A shop that spells one word in two ways parts no products by it."""
    found = candidates(
        "abcd",
        labels={
            "type": column("T-Shirts", "Tshirts", "Shirts", "Shirts"),
            "colour": column("Navy Blue", "navy-blue", "Red", "Red"),
        },
    )
    weights = np.array([3.0, 2, 2, 1])
    query = believe("", [], found, lambda task: {}, Neighbours(looks=weights, colour=weights))
    for name in (terms.TYPE, terms.COLOUR):
        term = _term(name, found, query)
        assert term.values.tolist() == [0.625, 0.625, 0.375, 0.375]
        assert term.best == 0.625


def test_who_states_nothing_is_judged_by_the_model() -> None:
    """Where a candidate's category is only inferred, the query's families say how far it agrees.

    A guess against a guess takes off a quarter of what one against a statement does.
    """
    found = candidates("abc", labels={"category": column("Shoes", ("bags", 0.9), ("footwear", 0.9))})
    query = believe(
        "",
        [],
        found,
        lambda task: {"bags": 0.9, "footwear": 0.1} if task == "category" else {},
        Neighbours(looks=np.array([1.0, 0, 0])),
    )
    assert query.category is not None
    bags, footwear = (query.category.shares[FAMILIES.index(name)] for name in ("bags", "footwear"))
    term = _term(terms.CATEGORY, found, query)
    stated, bag, shoe = (term.best - term.values).tolist()
    assert stated == 0.0
    assert bag == pytest.approx((term.best - 0.9 * bags) / 4, abs=0.01)
    assert shoe == pytest.approx((term.best - 0.9 * footwear) / 4, abs=0.01)


def test_nothing_said_is_never_worth_more_than_the_best() -> None:
    """Of many unlikely values the likeliest is better than none: whoever has no label stays below it."""
    values = ["Red", "Blue", "Green", "Black", "White"]
    found = candidates("abcdef", labels={"colour": column(*values, None)})
    query = believe("", [], found, lambda task: {}, Neighbours(colour=np.array([3.0, 1, 1, 1, 1, 1])))
    term = _term(terms.COLOUR, found, query)
    assert term.values.max() == term.values[0] == term.best
    assert term.values[5] == 0.875 * term.best
    two = _term(
        terms.CATEGORY, candidates("ab", labels={"type": column("T-shirt", None)}), _believe("t-shirt or bag")
    )
    assert two.values.tolist() == [0.5, 0.25]


def test_types_agree_by_word_by_kind_and_half_by_family() -> None:
    """The same word or a synonym agrees fully, another thing of the family by half, and others do not."""
    found = candidates(
        "abcdefgh",
        labels={
            "type": column(
                "T-Shirt", "tees", "Blouse", "Heels", "Zorbs", ("T-Shirt", 0.8), ("Heels", 0.8), None
            )
        },
    )
    term = _term(terms.TYPE, found, _believe(labels={"type": "Tshirts"}))
    assert term.values.tolist() == pytest.approx([1, 1, 0.5, 0, 0, 0.8, 0, 0.5])
    assert term.absent.tolist() == [False] * 7 + [True]
    assert term.best == 1.0
    unheard = _term(terms.TYPE, found, _believe(labels={"type": "zorb"}))
    assert unheard.values.tolist() == pytest.approx([0, 0, 0, 0, 1, 0, 0, 0.5])
    several = replace(_believe(), type=Belief(Source.STATED, np.empty(0), ("Heels", "Tshirts")))
    assert _term(terms.TYPE, found, several).values[:4].tolist() == [1, 1, 0.5, 1]


def test_another_category_of_one_family_agrees_by_half() -> None:
    """A shop that parts sandals from shoes has a reason; what it does not state is no other category."""
    found = candidates(
        "abcdef",
        labels={"category": column("Shoes", "Sandal", "Flip Flops", "Bags", ("footwear", 1 - 1e-9), None)},
    )
    labels = {"category": "Shoes"}
    term = _term(terms.CATEGORY, found, _believe(labels=labels))
    assert term.values.tolist() == pytest.approx([1, 0.5, 0.5, 0, 1, 0.5])
    assert term.absent.tolist() == [False] * 5 + [True]
    # A text has no category of the shop in mind.
    said = _term(terms.CATEGORY, found, _believe("shoes"))
    assert said.values.tolist() == pytest.approx([1, 1, 1, 0, 1, 0.5])
    typed = candidates("ab", labels={"category": column("Shoes", "Sandal"), "type": column("Heels", "Heels")})
    term = _term(terms.CATEGORY, typed, _believe(labels=labels | {"type": "Heels"}))
    assert term.values.tolist() == [1, 0.5]


def test_a_guessed_type_cannot_part_a_query_from_its_own_photo() -> None:
    """The same photo agrees as far as anything could, although its neighbours were voted something else."""
    found = candidates("abc", {"resnet50": [0.999, 0.5, 0.5]}, {"colour": column(None, "Red", "Blue")})
    query = believe("", [], found, lambda task: {}, Neighbours(colour=np.array([1.0, 3, 1])))
    term = _term(terms.COLOUR, found, query)
    assert term.values.tolist() == [0.6, 0.6, 0.2]
    assert not term.absent[0]


def test_every_gender_agrees_best_with_itself() -> None:
    """Of what is said, the group itself is worth the best that could be, and no other more."""
    found = candidates(GENDERS, labels={"gender": column(*GENDERS)})
    for gender in GENDERS:
        term = _term(terms.GENDER, found, _believe(f"for {gender}"))
        assert term.values[GENDERS.index(gender)] == term.best == term.values.max() == 1.0

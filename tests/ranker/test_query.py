from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ranker import query as knowledge
from services.ranker.query import KnownLabel, Neighbours, Source, believe, neighbours
from services.ranker.semantics import MAX_PROBABILITY
from services.ranker.taxonomy import FAMILIES, GENDERS
from tests.ranker.columns import candidates, column


def _nothing(task: str) -> Mapping[str, float]:
    return {}


def _women(task: str) -> Mapping[str, float]:
    return {"gender": {"Women": 0.6, "Men": 0.3, "Unheard of": 0.1}, "category": {"bags": 0.8, "belts": 0.2}}[
        task
    ]


_SAME_PHOTO = candidates(
    ["a", "b"],
    {"resnet50": [0.999, 0.5]},
    {
        "gender": column("Men", "Women"),
        "type": column("Heels", "Flats"),
        "colour": column(("Red", 0.7), "Blue"),
    },
)
_NONE = candidates([])


def test_a_text_is_believed_first() -> None:
    """`This, but for women and in red` overrides what the product's own labels say."""
    labels = [
        KnownLabel("gender", "Men", 1.0),
        KnownLabel("colour", "Blue", 1.0),
        KnownLabel("type", "Belts", 1.0),
    ]
    query = believe("in red for women", labels, _SAME_PHOTO, _women)
    assert query.gender is not None
    assert query.colour is not None
    assert query.category is not None
    assert (query.gender.source, query.gender.values) == (Source.TEXT, ("Women",))
    assert (query.colour.source, query.colour.values) == (Source.TEXT, ("red",))
    assert query.category.source is Source.STATED
    assert FAMILIES[int(query.category.shares.argmax())] == "belts"


def test_the_labels_of_the_same_photo_are_believed_before_a_guess() -> None:
    """What the shop states of the same photo holds for the query; what a model guessed does not."""
    query = believe("", [], _SAME_PHOTO, _women)
    assert query.gender is not None
    assert (query.gender.source, query.gender.values) == (Source.SAME_PHOTO, ("Men",))
    assert not query.gender.is_certain
    assert query.type is not None
    assert query.type.values == ("Heels",)
    assert query.colour is None


def test_a_guess_is_a_distribution() -> None:
    """What a model infers keeps its doubts; labels that the taxonomy lacks are left out."""
    query = believe("", [], _NONE, _women)
    assert query.gender is not None
    assert query.gender.source is Source.INFERRED
    assert dict(zip(GENDERS, query.gender.shares, strict=True))["Women"] == pytest.approx(2 / 3)
    assert query.gender.probability == pytest.approx(2 / 3)
    assert query.gender.values == ("Women",)


def test_a_label_with_doubt_is_a_guess_too() -> None:
    """A product's inferred label is believed by its probability where nothing is told of its photo."""
    query = believe("", [KnownLabel("gender", "Boys", 0.8)], _NONE, _nothing)
    assert query.gender is not None
    assert query.gender.source is Source.INFERRED
    assert query.gender.shares[GENDERS.index("Boys")] == 0.8
    assert query.gender.shares.sum() == pytest.approx(1)
    assert query.category is None


def test_a_photo_is_believed_before_a_label_with_doubt() -> None:
    """A whole distribution knows more than the one label of it that was kept; words it lacks tell nothing."""
    guess = [KnownLabel("gender", "Boys", 0.8)]
    query = believe("", guess, _NONE, _women)
    assert query.gender is not None
    assert (query.gender.source, query.gender.values) == (Source.INFERRED, ("Women",))
    assert query.gender.shares[GENDERS.index("Boys")] == 0
    unheard = believe("", guess, _NONE, lambda task: {"Unheard of": 1.0})
    assert unheard.gender is not None
    assert unheard.gender.values == ("Boys",)


def test_nothing_is_known_of_nothing() -> None:
    """Without text, labels and vector there is nothing to believe and nothing to tell."""
    query = believe("", [], _NONE, _nothing)
    assert (query.gender, query.category, query.colour, query.terms) == (None, None, None, ())
    assert query.labels() == []


def test_what_was_understood_is_told() -> None:
    """Labels for people: each value in the words it was said in, with its probability."""
    labels = [KnownLabel("category", "Topwear", 1.0), KnownLabel("type", "Kurtas", 1.0)]
    told = believe("red or blue", labels, _NONE, _women).labels()
    assert [(label.name, label.value) for label in told] == [
        ("gender", "Women"),
        ("category", "Topwear"),
        ("type", "Kurtas"),
        ("colour", "red"),
        ("colour", "blue"),
    ]
    assert [label.probability for label in told] == [pytest.approx(2 / 3), 1, 1, 1, 1]


def test_a_word_outside_the_taxonomy_is_still_known() -> None:
    """A shop's own word is kept although no label stands for it."""
    query = believe("", [KnownLabel("gender", "Divided", 1.0)], _NONE, _nothing)
    assert query.gender is not None
    assert query.gender.values == ("Divided",)
    assert not np.any(query.gender.shares)


_SHOP = candidates(
    "abcd",
    labels={
        "gender": column("Ladies", "Ladies", "Gents", ("Gents", 0.9)),
        "category": column("Clothing", "Shoes", "Clothing", None),
        "type": column("Kurtas", "Heels", "Kurtas", None),
        "colour": column("Red", "Red", "Navy Blue", "Red"),
    },
)
# The last one states its colour alone.
_NEAR = Neighbours(looks=np.array([1.0, 1, 2, 4]), colour=np.array([1.0, 1, 1, 5]))


@given(
    st.dictionaries(st.sampled_from(GENDERS), st.floats(0.001, 1), min_size=1),
    st.lists(st.floats(0.01, 1), min_size=5, max_size=5),
)
def test_a_model_and_the_neighbours_are_mixed(model: Mapping[str, float], weights: list[float]) -> None:
    """The mix is geometric, each by its share; for the silent the model speaks, and nothing is impossible."""
    found = candidates("abcde", labels={"gender": column("Women", "Men", "Unisex", None, "Divided")})
    query = believe(
        "", [], found, lambda task: model if task == "gender" else {}, Neighbours(looks=np.array(weights))
    )
    voted = dict(zip(("Women", "Men", "Unisex"), np.array(weights) / sum(weights), strict=False))
    silent = 1 - sum(voted.values())
    power, least = knowledge._VOTES_SHARE, knowledge._LEAST_SHARE
    total = sum(model.values())
    mixed = []
    for name in GENDERS:
        share = model.get(name, 0.0) / total
        heard = voted.get(name, 0.0) + silent * share
        mixed.append((share + least) ** (1 - power) * (heard + least) ** power)
    assert query.gender is not None
    assert query.gender.source is Source.INFERRED
    assert query.gender.shares.tolist() == pytest.approx([share / sum(mixed) for share in mixed])


def test_one_among_a_thousand_hardly_counts() -> None:
    """A single neighbour that states something does not outvote a model, nor the silence of all others."""
    others: list[str | None] = [None] * 999
    labels = {"gender": column("Women", *others), "category": column("Shoes", *others)}
    found = candidates([f"p{place}" for place in range(1000)], labels=labels)
    halves = {"gender": {"Women": 0.5, "Men": 0.5}, "category": {"footwear": 0.5, "bags": 0.5}}
    query = believe("", [], found, halves.__getitem__, Neighbours(looks=np.ones(1000)))
    assert query.gender is not None
    assert query.category is not None
    for belief, names, pair in (
        (query.gender, GENDERS, ("Women", "Men")),
        (query.category, FAMILIES, ("footwear", "bags")),
    ):
        one, other = (float(belief.shares[names.index(name)]) for name in pair)
        assert 0 < one - other < 0.001
        # What is left to every other label takes a little from both.
        assert one == pytest.approx(0.5, abs=0.02)


def test_two_spellings_are_one_voice() -> None:
    """They win together over a word that more say than either, and are told in the more usual one."""
    found = candidates(
        "abcdef",
        labels={
            "gender": column("Men's", "men", "men", "Women", "Women", "Women"),
            "type": column("T-Shirts", "Tshirts", "Tshirts", "Shirts", "Shirts", "Shirts"),
        },
    )
    query = believe("", [], found, _nothing, Neighbours(looks=np.array([2.0, 2, 1, 2, 1, 1])))
    assert query.gender is not None
    assert query.type is not None
    men, women = (query.gender.shares[GENDERS.index(name)] for name in ("Men", "Women"))
    # Each vote is counted once for its label, however many spellings share it.
    assert (men, women) == pytest.approx((5 / 9, 4 / 9))
    assert (query.gender.values, query.type.values) == (("men",), ("Tshirts",))
    assert query.gender.probability == query.type.probability == pytest.approx(5 / 9)
    assert query.type.votes is not None
    assert list(query.type.votes.values()) == pytest.approx([4 / 9, 5 / 9, 5 / 9])


def test_a_model_alone_is_believed_as_it_is() -> None:
    """Where no neighbour states a gender, and where none is known to be near, nothing is mixed in."""
    unknown = candidates("ab", labels={"gender": column(("Men", 0.9), None)})
    for near in (None, Neighbours(), Neighbours(looks=np.ones(2))):
        query = believe("", [], unknown, _women, near)
        assert query.gender is not None
        assert (query.gender.source, query.gender.votes) == (Source.INFERRED, None)
        assert query.gender.shares[GENDERS.index("Women")] == pytest.approx(2 / 3)


def test_votes_alone_are_believed_as_they_are() -> None:
    """Where no model has a say the neighbours tell; silence and words without a label are for no other."""
    query = believe("", [], _SHOP, _nothing, _NEAR)
    assert query.gender is not None
    assert query.category is not None
    assert query.type is not None
    assert query.colour is not None
    assert query.gender.shares[[GENDERS.index("Women"), GENDERS.index("Men")]].tolist() == [0.25, 0.25]
    assert query.gender.shares.sum() == 0.5
    assert query.gender.source is query.category.source is query.type.source is Source.VOTED
    assert query.gender.is_inferred
    assert (query.category.values, query.category.probability) == (("footwear",), 0.125)
    assert query.category.shares.sum() == 0.125
    assert query.category.votes is not None
    assert list(query.category.votes.values()) == [0.375, 0.125]
    assert query.type.values == ("Kurtas",)
    assert query.type.votes is not None
    assert list(query.type.votes.values()) == [0.125, 0.375]
    assert (query.colour.values, query.colour.probability) == (("Red",), 7 / 8)


def test_the_neighbours_are_told_in_the_words_of_the_shop() -> None:
    """Where most of them have a word for the model's label that word is said, else the taxonomy's own."""
    near = Neighbours(looks=np.array([1.0, 1, 1, 0]))
    query = believe("", [], _SHOP, lambda task: {"gender": {"Women": 1.0}}.get(task, {}), near)
    assert query.gender is not None
    assert query.gender.values == ("Ladies",)
    query = believe("", [], _SHOP, lambda task: {"gender": {"Boys": 1.0}}.get(task, {}), _NEAR)
    assert query.gender is not None
    assert query.gender.values == ("Boys",)


def test_neighbours_may_have_words_that_the_taxonomy_lacks() -> None:
    """A word without a label votes for itself, beside a model or without one, and adds to no label."""
    found = candidates("ab", labels={"gender": column("Divided", "Divided")})
    near = Neighbours(looks=np.ones(2))
    alone = believe("", [], found, _nothing, near).gender
    assert alone is not None
    assert (alone.source, alone.values) == (Source.VOTED, ("Divided",))
    assert not alone.shares.any()
    beside = believe("", [], found, _women, near).gender
    assert beside is not None
    assert (beside.source, beside.values) == (Source.INFERRED, ("Women",))
    assert beside.shares[GENDERS.index("Women")] == pytest.approx(2 / 3)
    assert beside.votes is not None
    assert list(beside.votes.values()) == [1.0]


def test_what_is_said_or_stated_beats_the_votes() -> None:
    """Neighbours are heard only where nothing better is known; whose category is known has no voted type."""
    said = believe("blue bag for men", [], _SHOP, _nothing, _NEAR)
    labels = [
        KnownLabel("gender", "Men", 1.0),
        KnownLabel("category", "Bags", 1.0),
        KnownLabel("colour", "Blue", 1.0),
    ]
    stated = believe("", labels, _SHOP, _nothing, _NEAR)
    for query, source in ((said, Source.TEXT), (stated, Source.STATED)):
        assert query.type is None
        for belief in (query.gender, query.category, query.colour):
            assert belief is not None
            assert belief.source is source
            assert belief.is_certain
            assert belief.votes is None


def test_a_doubtful_label_is_mixed_with_the_votes() -> None:
    """What was inferred when a product was written is a model's word like any other."""
    alone = believe("", [KnownLabel("gender", "Women", 0.8)], _NONE, _nothing).gender
    mixed = believe("", [KnownLabel("gender", "Women", 0.8)], _SHOP, _nothing, _NEAR).gender
    assert alone is not None
    assert mixed is not None
    assert mixed.source is Source.INFERRED
    assert mixed.shares[GENDERS.index("Men")] > alone.shares[GENDERS.index("Men")]


def test_only_what_is_stated_is_told_as_certain() -> None:
    """Neighbours of one mind and a model without doubts are still no statement."""
    found = candidates("a", labels={name: column("Men") for name in ("gender", "colour")})
    near = Neighbours(looks=np.ones(1), colour=np.ones(1))
    for infer in (_nothing, lambda task: {"Men": 1.0}):
        told = {label.name: label.probability for label in believe("", [], found, infer, near).labels()}
        assert told["colour"] == MAX_PROBABILITY
        assert told["gender"] <= MAX_PROBABILITY
    assert believe("for men", [], found, _nothing, near).labels()[0].probability == 1


def test_neighbours_look_at_colours_by_themselves() -> None:
    """The space of colours tells colours alone, whatever its weight; the others tell all the rest."""
    found = candidates("ab", {"clip": [0.9, 0.4], "colour": [0.4, 0.9]})
    near = neighbours(found, {"clip": 0.1, "colour": 5.0})
    assert near.looks is not None
    assert near.colour is not None
    assert near.looks[0] > near.looks[1]
    assert near.colour[0] < near.colour[1]
    assert neighbours(candidates("a", {"triplet": [0.5]}), {"clip": 1.0}) == Neighbours()

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from services.ranker.query import KnownLabel, Source, believe
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
    assert query.types == ("Heels",)
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
    """A product's inferred label is believed by its probability, and nobody is asked for another."""

    def infer(task: str) -> Mapping[str, float]:
        assert task == "category"
        return {}

    query = believe("", [KnownLabel("gender", "Boys", 0.8)], _NONE, infer)
    assert query.gender is not None
    assert query.gender.source is Source.INFERRED
    assert query.gender.shares[GENDERS.index("Boys")] == 0.8
    assert query.gender.shares.sum() == pytest.approx(1)
    assert query.category is None


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
        ("colour", "red"),
        ("colour", "blue"),
        ("type", "Kurtas"),
    ]
    assert [label.probability for label in told] == [pytest.approx(2 / 3), 1, 1, 1, 1]


def test_a_word_outside_the_taxonomy_is_still_known() -> None:
    """A shop's own word is kept although no label stands for it."""
    query = believe("", [KnownLabel("gender", "Divided", 1.0)], _NONE, _nothing)
    assert query.gender is not None
    assert query.gender.values == ("Divided",)
    assert not np.any(query.gender.shares)

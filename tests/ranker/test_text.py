from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ranker.text import MAX_TERMS, understand


def test_a_shoppers_sentence_is_taken_apart() -> None:
    """Gender, colour, category and content words come out of one sentence."""
    text = understand("red shoes for women under the rain")
    assert (text.gender, text.colours, text.families) == ("Women", ("red",), ("footwear",))
    assert [term.stems for term in text.terms] == [("shoe",), ("rain",)]


@pytest.mark.parametrize(
    ("words", "families"),
    [
        ("a photo of a red shirt", ("topwear",)),
        ("bag for shoes", ("bags",)),
        ("shoes and bags", ("footwear", "bags")),
        ("shoes without heels", ("footwear",)),
        ("something for the beach with a hat", ("headwear",)),
        ("leather belt bag", ("bags",)),
        ("dress shoes", ("footwear",)),
        ("coffee", ("food & drink",)),
        ("coffee brown shoes", ("footwear",)),
        ("wine glass", ("furniture & home",)),
        ("lovely and blue", ()),
    ],
)
def test_the_head_of_a_text_is_the_product(words: str, families: tuple[str, ...]) -> None:
    """What stands before the first preposition is wanted; the last noun of a compound is its head."""
    assert understand(words).families == families


@pytest.mark.parametrize(
    ("words", "gender"),
    [
        ("watch for men and women", "Unisex"),
        ("spider-man t-shirt for boys", "Boys"),
        ("men's shirt for her", "Women"),
        ("kids girls dress", "Girls"),
        ("t-shirts for boys and girls", "Kids"),
        ("men's cardigan, girl's cardigan", None),
        ("shirt", None),
    ],
)
def test_the_gender_of_a_text(words: str, gender: str | None) -> None:
    """Whom something is for is what follows `for`, if anything does; a clash says nothing."""
    assert understand(words).gender == gender


@pytest.mark.parametrize(
    ("words", "colours"),
    [
        ("navy blue jeans", ("navy blue",)),
        ("red and white sneakers", ("red", "white")),
        ("shirt, not red", ()),
        ("chocolate", ()),
        ("chocolate boots", ("chocolate",)),
    ],
)
def test_the_colours_of_a_text(words: str, colours: tuple[str, ...]) -> None:
    """Colours are kept as typed, negated ones are not, and food is a colour only before a product."""
    text = understand(words)
    assert text.colours == colours


def test_negated_words_are_not_looked_for() -> None:
    """Neither a product nor a plain word that is not wanted becomes a content word."""
    assert [term.stems for term in understand("shoes without heels, no glitter").terms] == [("shoe",)]


def test_words_occur_by_synonym_and_by_family() -> None:
    """A word is found in a value itself, in a synonym, and, naming a family, in all that belong to it."""
    shoe, sneaker, rain = (understand(word).terms[0] for word in ("shoes", "sneakers", "rain"))
    assert shoe.occurs_in(["Casual Shoes", "Heels", "Shirts"]) == [True, True, False]
    assert sneaker.occurs_in(["Trainers", "Casual Shoes", "Heels"]) == [True, True, False]
    assert rain.occurs_in(["Rain Jacket", "Trainers"]) == [True, False]
    assert understand("shirt").terms[0].occurs_in(["T-shirt", "Shirts"]) == [False, True]


@given(st.text(max_size=200))
def test_any_text_is_understood_somehow(words: str) -> None:
    """No text fails, and its content words are bounded and distinct."""
    text = understand(words)
    assert len(text.terms) <= MAX_TERMS
    assert len(set(text.terms)) == len(text.terms)


def test_a_long_text_keeps_its_first_words() -> None:
    """A text of many words is not compared without end."""
    text = understand(" ".join(f"word{index}" for index in range(500)))
    assert [term.stems for term in text.terms][-1] == (f"word{MAX_TERMS - 1}",)

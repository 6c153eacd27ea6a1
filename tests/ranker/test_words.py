from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ranker.words import Lexicon, stems, stems_of_text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Tshirts", "t-shirt"),
        ("T-Shirt", "tee shirts"),
        ("Hoodies", "hoody"),
        ("dresses", "Dress"),
        ("Watches", "watch"),
        ("women's", "Women"),
        ("Men’s", "man"),
        ("scarves", "scarf"),
        ("Flip-Flops", "flip flop"),
        ("Capris", "capri"),
        ("décor", "Decor"),
        ("ties", "tie"),
    ],
)
def test_forms_of_one_word_have_one_stem(one: str, other: str) -> None:
    """Case, plural, accents, apostrophes and hyphens do not matter."""
    assert stems(one) == stems(other)


@pytest.mark.parametrize(("one", "other"), [("glasses", "glass"), ("t-shirt", "shirt"), ("men", "women")])
def test_different_words_keep_different_stems(one: str, other: str) -> None:
    """What means another thing is another word."""
    assert stems(one) != stems(other)


@given(st.text(max_size=80))
def test_any_text_has_stems_without_blanks(text: str) -> None:
    """Whatever is typed becomes a row of words, the same one every time."""
    words = stems_of_text(text)
    assert words == stems(text)
    assert all(word and not any(c.isspace() for c in word) for word in words)


def test_the_longest_phrase_is_found() -> None:
    """Phrases are taken from left to right, each as long as it can be, and never overlap."""
    lexicon: Lexicon[str] = Lexicon()
    lexicon.add("top", "top")
    lexicon.add("tank top", "tank")
    assert list(lexicon.find(stems("a tank top and tops"))) == [(("tank", "top"), "tank"), (("top",), "top")]
    assert lexicon.get(stems("Tank Tops")) == "tank"
    assert lexicon.get(stems("tank")) is None


def test_a_phrase_means_one_thing() -> None:
    """Two meanings for one phrase are a mistake in the table, told with the phrase."""
    lexicon: Lexicon[str] = Lexicon()
    lexicon.add("ring", "jewellery")
    lexicon.add("rings", "jewellery")
    with pytest.raises(ValueError, match="'Ring' means jewellery and phones"):
        lexicon.add("Ring", "phones")

"""What a shopper's text says: for whom, which colours, which products, and the words that are left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from services.ranker.taxonomy import (
    COLOUR_WORDS,
    GENDER_WORDS,
    KIND_WORDS,
    Kind,
    families_of,
    joint_gender,
    kinds_of,
)
from services.ranker.words import REMEMBERED, Stems, stems, stems_of_text

# Of a longer text only so many content words are compared.
MAX_TERMS = 32

_NEGATIONS = frozenset(stems("not no without non except minus"))
_CONJUNCTIONS = frozenset(stems("and or plus"))
_PREPOSITIONS = frozenset(
    stems("for with in on of from under over to at by against during like as that which while")
)
# Words that say nothing of a product, or only how its colour shines.
_IDLE = frozenset(
    stems(
        "a an the this these those some any my your our their its i me you we us he she it they is are be was"
        " want need show find looking look search please something anything thing one ones more very nice"
        " good best cheap new photo picture image colour color coloured colored light dark bright pale deep"
        " pastel neon pair set kind type style wear clothing clothes product item s"
    )
)


@dataclass(frozen=True, slots=True)
class Term:
    """A content word or phrase, and the kind of product that it means, if any."""

    stems: Stems
    kind: Kind | None

    def occurs_in(self, values: Sequence[str]) -> list[bool]:
        """Which of a shop's values have this word, or a synonym, or belong to the family that it names."""
        word = f" {' '.join(self.stems)} "
        if self.kind is None:
            return [word in spelled(value) for value in values]
        if self.kind.line < 0:
            return [word in spelled(value) or self.kind.family in families_of(value) for value in values]
        return [word in spelled(value) or self.kind in kinds_of(value) for value in values]


@lru_cache(REMEMBERED)
def spelled(value: str) -> str:
    """A shop's value as its stems with a blank around each, so that whole words can be looked for in it."""
    return f" {' '.join(stems(value))} "


@dataclass(frozen=True, slots=True)
class Text:
    """What a text says. `colours` are as they were typed, `families` are equally likely."""

    gender: str | None
    colours: tuple[str, ...]
    families: tuple[str, ...]
    terms: tuple[Term, ...]


def understand(text: str) -> Text:
    """Read a text: `red shoes for women under the rain` is red footwear for Women, of shoe and rain.

    What a negation precedes is left out. The kind of product is what stands before the first preposition: a
    bag for shoes is a bag.
    """
    reading = _Reading()
    words = stems_of_text(text)
    start = 0
    while start < len(words):
        start += reading.take(words, start)
    return reading.text()


@dataclass(slots=True)
class _Reading:
    genders: list[str] = field(default_factory=list)
    genders_after_for: list[str] = field(default_factory=list)
    colours: dict[str, None] = field(default_factory=dict)
    terms: dict[Term, None] = field(default_factory=dict)
    # The last family named in each part of the text that conjunctions divide, before and after the head has
    # ended.
    heads: list[str | None] = field(default_factory=lambda: [None])
    others: list[str] = field(default_factory=list)
    in_head: bool = True
    after_for: bool = False
    negated: bool = False

    def take(self, words: Stems, start: int) -> int:
        """Read what begins at `start`; how many words that was."""
        kind = KIND_WORDS.at(words, start)
        colour = COLOUR_WORDS.at(words, start)
        gender = GENDER_WORDS.at(words, start)
        if kind and colour and len(kind[0]) == len(colour[0]):
            # Coffee is a drink, but before a product's name it is a colour.
            end = start + len(kind[0])
            if KIND_WORDS.at(words, end) or COLOUR_WORDS.at(words, end):
                kind = None
            else:
                colour = None
        longest = max((len(match[0]) for match in (kind, colour, gender) if match), default=0)
        if not longest:
            self._plain(words[start])
            return 1
        negated, self.negated = self.negated, False
        if negated:
            return longest
        if kind and len(kind[0]) == longest:
            self._kind(*kind)
        elif colour and len(colour[0]) == longest:
            self.colours[" ".join(colour[0])] = None
        elif gender:
            (self.genders_after_for if self.after_for else self.genders).append(gender[1])
        return longest

    def _kind(self, phrase: Stems, kind: Kind) -> None:
        self.terms[Term(phrase, kind)] = None
        if self.in_head:
            self.heads[-1] = kind.family
        else:
            self.others.append(kind.family)

    def _plain(self, word: str) -> None:
        if word in _NEGATIONS:
            self.negated = True
            # Shoes without heels are shoes.
            self.in_head = self.in_head and self.heads == [None]
        elif word in _CONJUNCTIONS:
            self.heads.append(None)
        elif word in _PREPOSITIONS:
            self.in_head = self.in_head and not any(self.heads)
            self.after_for = self.after_for or word == "for"
        elif word not in _IDLE:
            if not self.negated:
                self.terms[Term((word,), None)] = None
            self.negated = False

    def text(self) -> Text:
        families = tuple(dict.fromkeys(family for family in self.heads if family)) or tuple(self.others[:1])
        return Text(
            gender=joint_gender(self.genders_after_for or self.genders),
            colours=tuple(self.colours),
            families=families,
            terms=tuple(self.terms)[:MAX_TERMS],
        )

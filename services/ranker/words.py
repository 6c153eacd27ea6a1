"""Words as they are compared: stems, and phrases of stems that have a meaning."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Generic, TypeVar

Stems = tuple[str, ...]
Meaning = TypeVar("Meaning")

# A shop has few distinct values; the bound is for callers who send endless others.
REMEMBERED = 16_384

_APOSTROPHES = re.compile(r"['’`]")
_WORD = re.compile(r"[^\W_]+")
# The one hyphen that matters: a T-shirt is no shirt.
_T_SHIRT = re.compile(r"\bt(?:ee)?[\s-]+shirt")

_IRREGULAR = {
    "children": "child",
    "childrens": "child",
    # Without their plural these would be something to drink from.
    "eyeglasses": "eyeglasses",
    "glasses": "glasses",
    "knives": "knife",
    "leaves": "leaf",
    "men": "man",
    "mens": "man",
    "scarves": "scarf",
    "shelves": "shelf",
    "women": "woman",
    "womens": "woman",
}


@lru_cache(REMEMBERED)
def stems(value: str) -> Stems:
    """The words of a shop's value without case, accents and plural: for comparing, not for reading."""
    return stems_of_text(value)


def stems_of_text(text: str) -> Stems:
    """The same for a text, which is seldom seen twice and so not remembered."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(character for character in decomposed if not unicodedata.combining(character))
    plain = _T_SHIRT.sub("tshirt", _APOSTROPHES.sub("", plain))
    return tuple(_stem(word) for word in _WORD.findall(plain))


def _stem(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) > 3 and word.endswith(("sses", "shes", "ches", "xes", "zzes")):
        word = word[:-2]
    elif len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    # Hoodie, hoody and hoodies are one word.
    return f"{word[:-2]}y" if word.endswith("ie") and len(word) > 2 else word


class Lexicon(Generic[Meaning]):
    """Phrases with a meaning each, found in a row of stems by the longest match."""

    def __init__(self) -> None:
        self._meanings: dict[Stems, Meaning] = {}
        self._longest = 1

    def add(self, phrase: str, meaning: Meaning) -> None:
        """Let `phrase` mean `meaning`; raises ValueError when it means something else already."""
        key = stems(phrase)
        if self._meanings.setdefault(key, meaning) != meaning:
            raise ValueError(f"{phrase!r} means {self._meanings[key]} and {meaning}")
        self._longest = max(self._longest, len(key))

    def get(self, phrase: Stems) -> Meaning | None:
        """What exactly this phrase means, if anything."""
        return self._meanings.get(phrase)

    def at(self, words: Stems, start: int) -> tuple[Stems, Meaning] | None:
        """The longest known phrase that begins at `start`."""
        for length in range(min(self._longest, len(words) - start), 0, -1):
            phrase = words[start : start + length]
            if phrase in self._meanings:
                return phrase, self._meanings[phrase]
        return None

    def find(self, words: Stems) -> Iterator[tuple[Stems, Meaning]]:
        """Every known phrase from left to right, longest first, without overlap."""
        start = 0
        while start < len(words):
            found = self.at(words, start)
            if found is None:
                start += 1
                continue
            yield found
            start += len(found[0])

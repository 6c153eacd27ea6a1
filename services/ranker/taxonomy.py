"""The words of fashion and shops: genders, families of products, colours, and how far two of them agree.

The words themselves are data, in `taxonomy.toml`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, NamedTuple

from services.ranker.words import REMEMBERED, Lexicon, Stems, stems

_TABLE: Mapping[str, Mapping[str, Mapping[str, Any]]] = tomllib.loads(
    resources.files("services.ranker").joinpath("taxonomy.toml").read_text(encoding="utf-8")
)

GENDERS: tuple[str, ...] = tuple(_TABLE["gender"])
FAMILIES: tuple[str, ...] = tuple(_TABLE["category"])
COLOURS: tuple[str, ...] = tuple(_TABLE["colour"])

# In the manner of CLIP's zero-shot ensembles (Radford et al. 2021, section 3.1.4), worded like shops'
# captions.
_PROMPTS = {
    "category": ("{}", "a photo of {}", "a product photo of {} on a white background"),
    "gender": (
        *("{} clothing", "{} shoes", "{} t-shirt", "{} top", "{} jeans", "{} jacket", "{} watch", "{} bag"),
        "a photo of {} fashion",
    ),
}

_MALE = frozenset({"Men", "Boys"})
_FEMALE = frozenset({"Women", "Girls"})

# `navy` and `blue` are one colour in two words; `red` and `pink` are taken for each other.
_OTHER_SHADE = 0.8
_NEAR_COLOUR = 0.4

_LEVELS = re.compile(r"[/>|]")
_COLOUR_LISTS = re.compile(r"[/,&|+;]|\band\b")


class Kind(NamedTuple):
    """A kind of product: its family, and its line of synonyms there, or -1 for the family as a whole."""

    family: str
    line: int = -1


@dataclass(frozen=True, slots=True)
class Shade:
    """A colour as it was named, and the basic colour that it is a shade of."""

    stems: Stems
    colour: str


def prompts() -> dict[str, dict[str, list[str]]]:
    """Texts that describe each label a photo may have: task (`gender`, `category`) -> label -> prompts."""
    return {
        task: {
            label: [template.format(phrase) for phrase in entry["depicted"] for template in templates]
            for label, entry in _TABLE[task].items()
            if "depicted" in entry
        }
        for task, templates in _PROMPTS.items()
    }


def _kinds() -> Lexicon[Kind]:
    lexicon: Lexicon[Kind] = Lexicon()
    for family, entry in _TABLE["category"].items():
        for phrase in entry["names"]:
            lexicon.add(phrase, Kind(family))
        for line, synonyms in enumerate(entry["types"]):
            for phrase in synonyms:
                lexicon.add(phrase, Kind(family, line))
    return lexicon


def _words(task: str) -> Lexicon[str]:
    lexicon: Lexicon[str] = Lexicon()
    for label, entry in _TABLE[task].items():
        for phrase in entry["words"]:
            lexicon.add(phrase, label)
    return lexicon


KIND_WORDS = _kinds()
GENDER_WORDS = _words("gender")
COLOUR_WORDS = _words("colour")


@lru_cache(REMEMBERED)
def kind_of(value: str) -> Kind | None:
    """The kind of product that a shop's value means, if any.

    A value that the taxonomy has as a whole means that; of a path (`Men/Tops/Tees`) the last level with a
    meaning counts; of several phrases the longest does, and of equally long ones the last, since English
    compounds end in their head.
    """
    whole = KIND_WORDS.get(stems(value))
    if whole is not None:
        return whole
    for level in reversed(_LEVELS.split(value)):
        found = list(KIND_WORDS.find(stems(level)))
        if found:
            return max(reversed(found), key=lambda match: len(match[0]))[1]
    return None


def family_of(value: str) -> str | None:
    """The family of products (one of `FAMILIES`) that a shop's value belongs to, if any."""
    kind = kind_of(value)
    return kind.family if kind else None


@lru_cache(REMEMBERED)
def kinds_of(value: str) -> frozenset[Kind]:
    """Every kind of product that a shop's value names."""
    whole = KIND_WORDS.get(stems(value))
    found = frozenset(kind for level in _LEVELS.split(value) for _, kind in KIND_WORDS.find(stems(level)))
    return found if whole is None else found | {whole}


@lru_cache(REMEMBERED)
def families_of(value: str) -> frozenset[str]:
    """Every family of products that a shop's value names something of."""
    return frozenset(kind.family for kind in kinds_of(value))


@lru_cache(REMEMBERED)
def gender_of(value: str) -> str | None:
    """The group of people (one of `GENDERS`) that a shop's value means, if any."""
    return joint_gender({gender for _, gender in GENDER_WORDS.find(stems(value))})


def joint_gender(genders: Collection[str]) -> str | None:
    """The group that several named groups are together: men and women are `Unisex`; None where they clash."""
    found = set(genders)
    if len(found) == 2 and "Kids" in found and found & {"Girls", "Boys"}:
        found.discard("Kids")
    if found == {"Men", "Women"}:
        return "Unisex"
    if found == {"Boys", "Girls"}:
        return "Kids"
    return found.pop() if len(found) == 1 else None


def gender_agreement(wanted: str, offered: str) -> float:
    """How far a product for one group suits a search for another, 0 to 1."""
    return 1.0 if wanted == offered else float(_TABLE["gender"][wanted]["agrees"].get(offered, 0.0))


def contradicts(wanted: str, offered: str) -> bool:
    """Whether one is for men or boys, the other for women or girls; ages and `Unisex` never contradict."""
    return (wanted in _MALE and offered in _FEMALE) or (wanted in _FEMALE and offered in _MALE)


@lru_cache(REMEMBERED)
def shades_of(value: str) -> tuple[Shade, ...]:
    """The colours in a shop's value: `Red/White` has two, and of `Yellowish Brown` the last word counts."""
    shades = []
    for part in _COLOUR_LISTS.split(value.casefold()):
        words = stems(part)
        found = list(COLOUR_WORDS.find(words))
        if found:
            shades.append(Shade(words, found[-1][1]))
    return tuple(shades)


@lru_cache(REMEMBERED)
def colour_agreement(wanted: str, offered: str) -> float | None:
    """How far two colours agree, 0 to 1, by their best pair of shades; None where one is not known."""
    if stems(wanted) == stems(offered):
        return 1.0
    pairs = [(a, b) for a in shades_of(wanted) for b in shades_of(offered)]
    return max((_shade_agreement(a, b) for a, b in pairs), default=None)


def _shade_agreement(a: Shade, b: Shade) -> float:
    if a.colour == b.colour:
        return 1.0 if a.stems == b.stems else _OTHER_SHADE
    near = b.colour in _TABLE["colour"][a.colour]["near"] or a.colour in _TABLE["colour"][b.colour]["near"]
    return _NEAR_COLOUR if near else 0.0

"""Catalogue folders (`products.csv` and `images/`) as training material: photos with labels and captions."""

from __future__ import annotations

import csv
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# The same thing has another column name in every shop; the first that a row fills counts.
_GROUP = ("group_id", "sender_id", "id")
_KIND = ("articleType", "product_type", "category")
_COLOUR = ("baseColour", "colour_master", "colour")
_GENDER = ("gender",)
_TITLE = ("title",)

# Shops' words for kinds of products -> what people type. Others are only lower-cased and made singular.
_KIND_WORDS = {
    "tshirts": ("t-shirt", "tshirt", "tee"),
    "t-shirt": ("t-shirt", "tshirt", "tee"),
    "tees": ("t-shirt", "tshirt", "tee"),
    "handbags": ("handbag", "bag", "purse"),
    "casual shoes": ("casual shoe", "shoe", "sneaker"),
    "sports shoes": ("sports shoe", "running shoe", "shoe", "sneaker", "trainer"),
    "formal shoes": ("formal shoe", "leather shoe", "shoe"),
    "heels": ("high heel", "heel", "shoe"),
    "flats": ("flat", "ballerina", "shoe"),
    "flip flops": ("flip flop", "slipper"),
    "sports sandals": ("sports sandal", "sandal"),
    "shoes": ("shoe",),
    "track pants": ("track pant", "jogger", "sweatpant"),
    "trousers": ("trouser", "pant"),
    "pants": ("pant", "trouser"),
    "innerwear vests": ("vest", "undershirt"),
    "sweatshirts": ("sweatshirt", "hoodie"),
    "hoodies & sweatshirts": ("hoodie", "sweatshirt"),
    "bras & tanks": ("sports bra", "tank top"),
    "tanks": ("tank top", "sleeveless top"),
    "outwear": ("jacket", "coat", "outerwear"),
    "longsleeve": ("long sleeve shirt", "longsleeve", "sweater"),
    "backpacks": ("backpack", "bag", "rucksack"),
    "caps": ("cap", "hat"),
    "sunglasses": ("sunglasses", "shades"),
    "jeans": ("jeans", "denim"),
    "shorts": ("shorts",),
    "leggings": ("leggings",),
    "tights": ("tights",),
    "briefs": ("briefs", "underwear"),
}

_GENDER_WORDS = {
    "men": ("men", "men's", "male", "for men"),
    "women": ("women", "women's", "ladies", "for women"),
    "boys": ("boys", "boy's", "kids"),
    "girls": ("girls", "girl's", "kids"),
    "unisex": ("unisex",),
}


@dataclass(frozen=True, slots=True)
class Photo:
    """One row of a catalogue. Empty strings stand for what the row does not say.

    Photos of one `group` show one product (or come from one sender) and stay on one side of a split.
    """

    path: Path
    catalogue: str
    group: str
    title: str
    kind: str
    category: str
    colour: str
    gender: str

    @property
    def captions(self) -> tuple[str, ...]:
        """Everything that people might type for this photo: title, kind, colour and gender in many orders."""
        kinds = [form for word in _kind_words(self.kind) for form in (word, _plural(word))]
        genders = _GENDER_WORDS.get(self.gender.lower(), ())
        colour = self.colour.lower()
        texts = [self.title] if self.title else []
        for kind in dict.fromkeys(kinds):
            texts.append(kind)
            if colour:
                texts.append(f"{colour} {kind}")
            for gender in genders:
                texts.append(f"{kind} {gender}" if gender.startswith("for ") else f"{gender} {kind}")
                if colour:
                    texts.append(
                        f"{colour} {kind} {gender}"
                        if gender.startswith("for ")
                        else f"{gender} {colour} {kind}"
                    )
        return tuple(texts)

    @property
    def short_query(self) -> str:
        """The caption of colour and kind alone; empty without either."""
        words = _kind_words(self.kind)
        return f"{self.colour.lower()} {words[0]}" if words and self.colour else ""


def read(folder: Path) -> list[Photo]:
    """The photos of a catalogue folder, in the order of its table. Raises FileNotFoundError without one."""
    with (folder / "products.csv").open(newline="", encoding="utf-8") as table:
        return [_photo(folder, row) for row in csv.DictReader(table)]


def _photo(folder: Path, row: Mapping[str, str]) -> Photo:
    kind = _first(row, _KIND).rsplit("/", 1)[-1]
    return Photo(
        path=folder / "images" / row["image"],
        catalogue=folder.name,
        group=f"{folder.name}/{_first(row, _GROUP)}",
        title=html.unescape(_first(row, _TITLE)),
        kind=kind,
        category=row.get("subCategory") or kind,
        colour=_first(row, _COLOUR),
        gender=_first(row, _GENDER),
    )


def _first(row: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((row[name].strip() for name in names if row.get(name, "").strip()), "")


def _kind_words(kind: str) -> tuple[str, ...]:
    word = kind.lower()
    if not word:
        return ()
    return _KIND_WORDS.get(word) or (_singular(word),)


def _singular(word: str) -> str:
    if re.search(r"(ss|us|sh|ch|x)es$", word):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _plural(word: str) -> str:
    if word.endswith("s") and not word.endswith("ss"):
        return word
    return f"{word}es" if re.search(r"(ss|sh|ch|x)$", word) else f"{word}s"

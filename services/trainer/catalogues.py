"""Catalogues as training material: photos with labels and captions.

A catalogue is a folder with `products.csv` and `images/`, or one with a single zip of these. Photos are read
from the zip as they are needed; nothing is unpacked.
"""

from __future__ import annotations

import csv
import functools
import html
import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.mesh.errors import InvalidArgument
from vitrine.catalogs import columns
from vitrine.catalogs.folder import TABLE
from vitrine.catalogs.photos import IMAGES

LABELS = ("gender", "category", "type", "master", "colour")

# A catalogue of phone photos groups by who sent them: one person's clothes look alike.
_GROUP = ("group_id", "sender_id", "id")
_OPEN_ARCHIVES = 8

# Shops' words for types of products -> what people type. Others are only lower-cased and made singular.
_TYPE_WORDS = {
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

    `path` is the photo's file, or the zip whose `member` it is. `product` is its product's id. Photos of one
    `group` show one product (or come from one sender) and stay on one side of a split; a product that
    several catalogues show has the same group in each.
    """

    path: Path
    member: str
    catalogue: str
    product: str
    group: str
    title: str
    type: str
    category: str
    master: str
    colour: str
    gender: str

    @property
    def name(self) -> str:
        """What no other photo of the catalogues is called: `CATALOGUE/FILE`."""
        return f"{self.catalogue}/{Path(self.member or self.path).name}"

    @property
    def size_bytes(self) -> int:
        """The size of the picture's file. Raises FileNotFoundError or KeyError where there is none."""
        if self.member:
            return _archive(self.path).getinfo(self.member).file_size
        return self.path.stat().st_size

    @property
    def captions(self) -> tuple[str, ...]:
        """Everything that people might type for this photo: title, type, colour and gender in many orders."""
        words = [form for word in _type_words(self.type) for form in (word, _plural(word))]
        genders = _GENDER_WORDS.get(self.gender.lower(), ())
        colour = self.colour.lower()
        texts = [self.title] if self.title else []
        for word in dict.fromkeys(words):
            texts.append(word)
            if colour:
                texts.append(f"{colour} {word}")
            for gender in genders:
                texts.append(f"{word} {gender}" if gender.startswith("for ") else f"{gender} {word}")
                if colour:
                    texts.append(
                        f"{colour} {word} {gender}"
                        if gender.startswith("for ")
                        else f"{gender} {colour} {word}"
                    )
        return tuple(texts)

    @property
    def short_query(self) -> str:
        """The caption of colour and type alone; empty without either."""
        words = _type_words(self.type)
        return f"{self.colour.lower()} {words[0]}" if words and self.colour else ""

    def read(self) -> bytes:
        """The picture's bytes. Safe for any number of threads."""
        return _archive(self.path).read(self.member) if self.member else self.path.read_bytes()

    def label(self, names: Sequence[str]) -> str:
        """The words of these `LABELS`, lower-cased and joined by `/`; empty where one of them is not told."""
        words = [str(getattr(self, name)).lower() for name in names]
        return "/".join(words) if all(words) else ""


def read(folder: Path) -> list[Photo]:
    """The photos of a catalogue, in the order of its table, whose columns are named as `vitrine index` does.

    Raises InvalidArgument (field `catalogues`) where there is neither a table nor one zip with a table, or
    the table names no photos.
    """
    archives = sorted(folder.glob("*.zip"))
    if (folder / TABLE).is_file():
        source, table = folder, (folder / TABLE).read_text(encoding="utf-8-sig")
    elif len(archives) == 1 and TABLE in _archive(archives[0]).namelist():
        source, table = archives[0], _archive(archives[0]).read(TABLE).decode("utf-8-sig")
    else:
        raise InvalidArgument("catalogues", f"{folder} has neither {TABLE} nor one zip with it")
    reader = csv.reader(io.StringIO(table, newline=""))
    headers = next(reader, [])
    found = columns.assign(headers)
    if "image" not in found:
        raise InvalidArgument("catalogues", f"{TABLE} of {folder} has no column of images")
    return [
        _photo(
            folder.name, source, {name: cells[at].strip() for name, at in found.items() if at < len(cells)}
        )
        for cells in reader
        if cells
    ]


def _photo(catalogue: str, source: Path, row: Mapping[str, str]) -> Photo:
    category, type_ = row.get("category", ""), row.get("type", "")
    is_archive = source.suffix == ".zip"
    return Photo(
        path=source if is_archive else source / IMAGES / row["image"],
        member=f"{IMAGES}/{row['image']}" if is_archive else "",
        catalogue=catalogue,
        product=row.get("id") or Path(row["image"]).stem,
        group=next((row[name] for name in _GROUP if row.get(name)), row["image"]),
        title=html.unescape(row.get("title", "")),
        type=(type_ or category).rsplit("/", 1)[-1],
        category=category or type_,
        master=row.get("master_category", ""),
        colour=row.get("colour", ""),
        gender=row.get("gender", ""),
    )


@functools.lru_cache(_OPEN_ARCHIVES)
def _archive(path: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


def _type_words(name: str) -> tuple[str, ...]:
    word = name.lower()
    if not word:
        return ()
    return _TYPE_WORDS.get(word) or (_singular(word),)


def _singular(word: str) -> str:
    if re.search(r"(ss|us|sh|ch|x)es$", word):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _plural(word: str) -> str:
    if word.endswith("s") and not word.endswith("ss"):
        return word
    return f"{word}es" if re.search(r"(ss|sh|ch|x)$", word) else f"{word}s"

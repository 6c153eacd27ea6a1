"""The sample shops whose photos make the demo catalogue, and how each states its products.

What a shop does not state is left out. Two things are read from a title: its colour word, and for things to
wear and carry the word that says what they are.
"""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.mesh.registries import Package


@dataclass(frozen=True, slots=True)
class Product:
    """A product of a shop. `photos` lie where its archive was unpacked.

    The price is in the shop's currency, None where none is told.
    """

    key: str
    title: str
    price: float | None
    photos: Sequence[Path]
    description: str = ""
    attributes: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shop:
    """A sample shop in a package registry; `products` reads them from where its archive was unpacked.

    `attributes` are those that its products have beside the usual ones. With `shares_photos` a photo may be
    that of several products; without, only of the first that has it, since the others were meant to differ.
    """

    name: str
    package: Package
    photo_licence: str
    products: Callable[[Path], Iterator[Product]]
    attributes: Sequence[str] = ()
    shares_photos: bool = False


# The word of a title -> what it is. The shops agree on nothing here: Footwear, Shoe, Clothing.
_TYPES = {
    "bracelet": "Bracelets",
    "earrings": "Earrings",
    "hoodie": "Hoodies",
    "necklace": "Necklaces",
    "plimsolls": "Shoes",
    "polo": "Polo Shirts",
    "purse": "Handbags",
    "shoe": "Shoes",
    "shoes": "Shoes",
    "sneakers": "Shoes",
    "speakers": "Speakers",
    "t-shirt": "T-shirts",
    "watch": "Watches",
}
# Where a shop's category says less than the type, or is wrong.
_CATEGORY_OF_TYPE = {"Shoes": "Footwear", "Speakers": "Electronics"}

_COLOURS = {
    colour: colour.capitalize()
    for colour in (
        *("beige", "black", "blue", "brown", "gold", "green", "grey", "lime", "mustard", "orange", "pink"),
        *("purple", "red", "silver", "teal", "turquoise", "white", "yellow"),
    )
} | {"gray": "Grey", "navy": "Navy Blue"}


def title_type(title: str) -> list[str]:
    """What the words of `title` say that it is, at most one."""
    return [_TYPES[word] for word in _words(title) if word in _TYPES][:1]


def title_colour(title: str) -> list[str]:
    """The first colour that `title` names, if any."""
    return [_COLOURS[word] for word in _words(title) if word in _COLOURS][:1]


def _words(title: str) -> list[str]:
    return re.findall(r"[a-z][a-z-]*", title.lower())


# Products of Saleor that share the photo of another, to which the print in the photo belongs: apple,
# pineapple and coconut juice, and a T-shirt.
_SALEOR_STAND_INS = frozenset({72, 75, 76, 114})


def _saleor(root: Path) -> Iterator[Product]:
    static = root / "saleor" / "static"
    tables: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for entry in json.loads((static / "populatedb_data.json").read_text(encoding="utf-8")):
        tables[entry["model"]][entry["pk"]] = entry["fields"]
    photos: dict[int, list[Path]] = defaultdict(list)
    for image in tables["product.productimage"].values():
        # The database adds seven random characters to the name of each upload.
        name = re.sub(r"_\w{7}$", "", Path(image["image"]).stem) + ".png"
        photos[image["product"]].append(static / "placeholders" / name)

    for key, fields in tables["product.product"].items():
        if key in _SALEOR_STAND_INS:
            continue
        title = fields["name"]
        category = tables["product.category"][fields["category"]]
        kind = tables["product.producttype"][fields["product_type"]]["name"]
        attributes = {
            "category": [category["name"]],
            "type": title_type(title) or [kind],
            # The names of drinks are not colours of things.
            "colour": [] if category["name"] in {"Juices", "Alcohol"} else title_colour(title),
            "gender": ["Women"] if any("-woman" in photo.name for photo in photos[key]) else [],
        }
        if category["parent"] is not None:
            attributes["master_category"] = [tables["product.category"][category["parent"]]["name"]]
        price = float(fields["price_amount"])
        yield Product(str(key), title, price, photos[key], fields["description"], attributes)


def _sakai(root: Path) -> Iterator[Product]:
    demo = root / "package" / "src" / "assets" / "demo"
    for entry in json.loads((demo / "data" / "products.json").read_text(encoding="utf-8"))["data"]:
        title = entry["name"]
        kinds = title_type(title)
        category = next(
            (_CATEGORY_OF_TYPE[kind] for kind in kinds if kind in _CATEGORY_OF_TYPE), entry["category"]
        )
        attributes = {"category": [category], "type": kinds, "colour": title_colour(title)}
        photo = demo / "images" / "product" / entry["image"]
        yield Product(entry["id"], title, float(entry["price"]), [photo], attributes=attributes)


def _vendure(root: Path) -> Iterator[Product]:
    assets = root / "package" / "assets"
    with (assets / "products.csv").open(encoding="utf-8", newline="") as file:
        for padded in csv.DictReader(file):
            row = {header.strip(): (cell or "").strip() for header, cell in padded.items()}
            if not row["name"]:
                continue  # A further variant of the product above, with the same photo.
            facets: dict[str, list[str]] = defaultdict(list)
            for facet in row["facets"].split("|"):
                name, _, value = facet.partition(":")
                facets[name].append(value)
            *master, category = facets["category"]
            colours = [_COLOURS.get(colour, colour.capitalize()) for colour in facets["color"]]
            attributes = {
                "category": [category],
                "master_category": master,
                "type": title_type(row["name"]),
                "colour": colours or title_colour(row["name"]),
                "brand": facets["brand"],
            }
            photos = [assets / "images" / name for name in row["assets"].split("|")]
            yield Product(
                row["slug"], row["name"], float(row["price"]), photos, row["description"], attributes
            )


SHOPS: tuple[Shop, ...] = (
    Shop(
        name="saleor",
        package=Package(
            registry="pypi",
            name="saleor",
            version="2.10.1",
            sha256="ebf33a74d000dcee5298b728b1bb10321521feea74c94a28bf85da556bfd337c",
            licence="BSD-3-Clause",
        ),
        photo_licence="BSD-3-Clause, as the package",
        products=_saleor,
    ),
    Shop(
        name="sakai",
        package=Package(
            registry="npm",
            name="sakai-ng",
            version="2.0.4",
            sha256="22c04d73cb06579024d29efc138d5f09a88103e8b6521202cb003860b08e02d9",
            licence="MIT",
        ),
        photo_licence="MIT, as the package",
        products=_sakai,
    ),
    Shop(
        name="vendure",
        package=Package(
            registry="npm",
            name="@vendure/create",
            version="3.7.3",
            sha256="89f0a9ce225c44b7f9fc07a85bca655f98c48bbb7f3aa06ae0e9c04ce5db0af7",
            licence="GPL-3.0-or-later",
        ),
        photo_licence="from Unsplash by their file names, which carry each photographer's name",
        products=_vendure,
    ),
)

"""A reference storefront's sample data: studio photos of clothes, front and back, in several colours.

The package states no licence, so it is fetched only when it is asked for by name. Its files are the
import format of Salesforce B2C Commerce (catalog and price book, 2006-10-31).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from services.mesh.registries import Package
from vitrine.catalogs.shops import Product, Shop

NOTICE = (
    "storefront-data states no licence: its photos and texts are fetched for evaluation on this machine "
    "alone, and are not to be published"
)

_CATALOG = "{http://www.demandware.com/xml/impex/catalog/2006-10-31}"
_PRICES = "{http://www.demandware.com/xml/impex/pricebook/2006-10-31}"
_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_ENGLISH = "x-default"
_LANGUAGES = {"fr-FR": "fr", "it-IT": "it", "ja-JP": "ja", "zh-CN": "zh"}

_GENDERS = {"mens": "Men", "womens": "Women"}
_MAX_VALUE_CHARACTERS = 256
_MAX_VALUES = 32


def _products(root: Path) -> Iterator[Product]:
    site = root / "package" / "site-import"
    folder = site / "catalogs" / "apparel-m-catalog"
    images = folder / "static" / "default" / "images"
    catalog = _parsed(folder / "catalog.xml")
    # A later price book undercuts the one before.
    prices: dict[str, float] = {}
    for book in ("usd-m-list-prices", "usd-m-sale-prices"):
        prices |= _amounts(_parsed(site / "pricebooks" / f"{book}.xml"))
    categories = {
        each.get("category-id", ""): _texts(each, "display-name").get(_ENGLISH, "")
        for each in catalog.findall(f"{_CATALOG}category")
    }
    assigned = {
        each.get("product-id", ""): each.get("category-id", "")
        for each in catalog.findall(f"{_CATALOG}category-assignment")
    }
    elements = {each.get("product-id", ""): each for each in catalog.findall(f"{_CATALOG}product")}
    for key, element in elements.items():
        photos = _photos(element, images)
        if not photos:
            # A size or a colour of a product that has them all.
            continue
        variants = [
            each.get("product-id", "")
            for each in element.findall(f"{_CATALOG}variations/{_CATALOG}variants/{_CATALOG}variant")
        ]
        titles = _texts(element, "display-name")
        price = min((prices[each] for each in (key, *variants) if each in prices), default=None)
        attributes = {
            **_place(assigned.get(key, ""), categories),
            "colour": _colours([elements[each] for each in (key, *variants) if each in elements]),
            "size": _values(element, "size")[:_MAX_VALUES],
            **{
                f"title_{name}": [titles[language]]
                for language, name in _LANGUAGES.items()
                if 0 < len(titles.get(language, "")) <= _MAX_VALUE_CHARACTERS
            },
        }
        yield Product(key, titles.get(_ENGLISH, key), price, photos, _description(element), attributes)


def _parsed(path: Path) -> ET.Element:
    # The archive is the one whose digest is pinned below.
    return ET.parse(path).getroot()  # noqa: S314 - see the line above


def _amounts(book: ET.Element) -> dict[str, float]:
    """The price of one of each product."""
    return {
        table.get("product-id", ""): float(amount.text or "")
        for table in book.iter(f"{_PRICES}price-table")
        if (amount := table.find(f"{_PRICES}amount")) is not None
    }


def _texts(element: ET.Element, name: str) -> dict[str, str]:
    """What an element says in each language."""
    return {each.get(_LANG, ""): (each.text or "").strip() for each in element.findall(f"{_CATALOG}{name}")}


def _photos(element: ET.Element, images: Path) -> list[Path]:
    """The large photos of all colours, each once."""
    groups = element.findall(f"{_CATALOG}images/{_CATALOG}image-group[@view-type='large']")
    paths = dict.fromkeys(
        image.get("path", "") for group in groups for image in group.findall(f"{_CATALOG}image")
    )
    return [images / path for path in paths if (images / path).is_file()]


def _place(category: str, names: Mapping[str, str]) -> dict[str, list[str]]:
    """What a category's id says: `womens-clothing-tops` are Tops, in Clothing, for women."""
    parent = category.rpartition("-")[0]
    while parent and parent not in names:
        parent = parent.rpartition("-")[0]
    gender = _GENDERS.get(category.partition("-")[0])
    place = {"gender": [gender] if gender else [], "category": [], "master_category": []}
    if names.get(category):
        place["category"] = [names[category]]
    if names.get(parent) and parent not in _GENDERS:
        place["master_category"] = [names[parent]]
    return place


def _colours(variants: Sequence[ET.Element]) -> list[str]:
    """The colours of a product's variants by the names that its shop filters by."""
    found = (
        (each.text or "").strip().capitalize()
        for variant in variants
        for each in variant.findall(
            f"{_CATALOG}custom-attributes/{_CATALOG}custom-attribute[@attribute-id='refinementColor']"
        )
    )
    return list(dict.fromkeys(colour for colour in found if colour))[:_MAX_VALUES]


def _values(element: ET.Element, attribute: str) -> list[str]:
    """What the values of a variation attribute are called."""
    values = element.findall(
        f"{_CATALOG}variations/{_CATALOG}attributes/{_CATALOG}variation-attribute"
        f"[@variation-attribute-id='{attribute}']/{_CATALOG}variation-attribute-values/"
        f"{_CATALOG}variation-attribute-value"
    )
    called = (_texts(each, "display-value").get(_ENGLISH, "") for each in values)
    return list(dict.fromkeys(name for name in called if name))


def _description(element: ET.Element) -> str:
    """The short description and the long one, once where they are the same."""
    parts = (_texts(element, name).get(_ENGLISH, "") for name in ("short-description", "long-description"))
    return " ".join(dict.fromkeys(text for part in parts if (text := _plain(part))))


def _plain(text: str) -> str:
    """A description without its markup."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text)).strip()


REFARCH = Shop(
    name="refarch",
    package=Package(
        registry="npm",
        name="storefront-data",
        version="0.1.0",
        sha256="16512bc65647e487d1f06934d5a5ca3a26b15e7a0c511f6a40391d3427623a05",
        licence="none stated",
    ),
    photo_licence="none stated; for local evaluation",
    products=_products,
    shares_photos=True,
    attributes=("size", *(f"title_{name}" for name in _LANGUAGES.values())),
)

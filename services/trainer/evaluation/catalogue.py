"""The products of a catalogue folder as an evaluation wants them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.mesh.errors import InvalidArgument
from vitrine.catalogs.rows import CatalogRow, RowProblem, product_id

GENDER, CATEGORY, TYPE, COLOUR = STATED = ("gender", "category", "type", "colour")
MASTER = "master_category"
GROUP = "group_id"

Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Product:
    """A product. `labels` has the first value that the shop states of what it states, in its own words."""

    product_id: str
    title: str
    labels: Mapping[str, str]
    photos: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Products in the order of their ids, each with a photo at least, and how many rows gave none."""

    products: tuple[Product, ...]
    problems: int = 0

    @property
    def photos(self) -> list[Path]:
        """The photos of all products, one product's after the other's."""
        return [photo for product in self.products for photo in product.photos]

    @property
    def first_photos(self) -> Rows:
        """Where the photos of each product begin among all, int64 [products]."""
        counts = [len(product.photos) for product in self.products]
        return np.cumsum([0, *counts[:-1]]).astype(np.int64)

    def keep(self, photos: Flags) -> Catalogue:
        """The catalogue of some photos, bool [photos]; a product without any is left out."""
        kept = []
        start = 0
        for product in self.products:
            end = start + len(product.photos)
            left = tuple(photo for photo, flag in zip(product.photos, photos[start:end], strict=True) if flag)
            if left:
                kept.append(replace(product, photos=left))
            start = end
        return replace(self, products=tuple(kept))

    def codes(self, label: str) -> Rows:
        """A label of every product as a number, int64 [products]: equal words equal numbers, -1 without.

        Words are the shop's own, whatever their case.
        """
        words = [product.labels.get(label, "").casefold() for product in self.products]
        place = {word: code for code, word in enumerate(sorted({*words} - {""}))}
        return np.array([place.get(word, -1) for word in words], dtype=np.int64)


def read(rows: Iterable[CatalogRow | RowProblem], only: Collection[str] | None = None) -> Catalogue:
    """The products of a `CatalogFolder`; of those only the ids in `only`, where it is given.

    Raises InvalidArgument when there is none.
    """
    wanted = None if only is None else {product_id(text) for text in only}
    products = []
    problems = 0
    for row in rows:
        if isinstance(row, RowProblem):
            problems += wanted is None or row.product_id in wanted
        elif wanted is None or row.product_id in wanted:
            products.append(_product(row))
    if not products:
        raise InvalidArgument(
            "folder" if only is None else "products", "there is no product with a photo to evaluate"
        )
    return Catalogue(tuple(sorted(products, key=lambda product: product.product_id)), problems)


def _product(row: CatalogRow) -> Product:
    labels = {
        name: str(row.attributes[name][0]) for name in (*STATED, MASTER, GROUP) if row.attributes.get(name)
    }
    return Product(row.product_id, row.title, labels, tuple(row.photos))

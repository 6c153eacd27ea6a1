"""What a catalogue gives: products, and rows that give none."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

from vitrine.catalogs.columns import Value

MAX_PHOTOS = 16

_PRODUCT_ID = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._~-]{1,128}")


@dataclass(frozen=True, slots=True)
class CatalogRow:
    """A product: its attributes are those of the row named by `row_number`, its photos those of all its rows.

    `photos` are files that exist, whether they are pictures is not known yet; `addresses` are those of photos
    that are fetched when the product is written. Together they are 1 to 16. Rows are counted as a spreadsheet
    does: the header is row 1. Of JSON Lines the lines are counted, in a tree of photos the files, from 1.
    """

    product_id: str
    title: str
    description: str
    attributes: dict[str, list[Value]]
    photos: list[Path]
    row_number: int
    addresses: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RowProblem:
    """Why a row gives no product, or not its photo. `product_id` is empty where the row does not tell it."""

    row_number: int
    field: str
    message: str
    product_id: str = ""


def product_id(text: str) -> str:
    """`text` itself where it can be a product's id: 1 to 128 of `A-Z a-z 0-9 . _ ~ -`.

    Of anything else, and of `.` and `..`, the usable parts, joined by hyphens, with the first twelve digits
    of its SHA-256 behind them: the same text has the same id in every run, and two texts do not share one.
    """
    if _PRODUCT_ID.fullmatch(text):
        return text
    readable = re.sub(r"[^A-Za-z0-9._~]+", "-", text).strip("-")[:100]
    return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:12]}".lstrip("-")

"""What the columns of a shop's table mean: names of usual shops mapped to ours, and texts to typed values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from services.mesh.errors import InvalidArgument

Value = str | float | bool
Kind = Literal["text", "number", "flag"]

# Our name -> the columns that may hold it, as snake_case, the most specific first: of several that are there
# the first is taken, the others stay attributes under their own names.
ALIASES: Mapping[str, Sequence[str]] = {
    "id": ("id", "product_id", "article_id", "sku"),
    "image": (
        "image",
        "image_path",
        "image_file",
        "filename",
        "file_name",
        "file",
        "photo",
        "image_link",
        "image_url",
    ),
    "title": ("title", "product_display_name", "display_name", "prod_name", "product_name", "name"),
    "description": ("description", "detail_desc", "product_description"),
    "gender": ("gender", "sex", "target_gender", "gender_name"),
    "category": (
        "sub_category",
        "category",
        "product_category",
        "category_name",
        "product_group",
        "product_group_name",
        "department",
        "department_name",
    ),
    "type": ("article_type", "product_type", "product_type_name", "type", "kind"),
    "colour": (
        "base_colour",
        "base_color",
        "colour",
        "color",
        "colour_group_name",
        "colour_name",
        "color_name",
    ),
    "group_id": ("group_id", "item_group_id", "product_code"),
    "price": (
        "price",
        "sale_price",
        "unit_price",
        "list_price",
        "regular_price",
        "cost",
        "price_eur",
        "price_usd",
    ),
    "brand": ("brand", "brand_name", "manufacturer", "vendor"),
    "pattern": ("pattern", "graphical_appearance_name"),
    "season": ("season",),
    "usage": ("usage",),
    "url": ("url", "link", "product_url"),
}

# Facts of an image file, not of a product.
IGNORED = frozenset({"width", "height", "bytes"})

SEPARATOR = "|"
MAX_ATTRIBUTES = 64

_CANONICAL_TEXT = frozenset(ALIASES) - {"price"}
_IDENTIFIER = re.compile(r"(?:.*_)?(?:id|ids|sku|code|ean|gtin|upc|barcode)")
# A leading zero, or more digits than a double holds, says that it is a name made of digits.
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?")
_FLAGS = {"true": True, "false": False}
_MAX_NAME_LENGTH = 64


def snake_case(header: str) -> str:
    """A header as an attribute name of [a-z][a-z0-9_]{0,63}: `baseColour` is `base_colour`. May be empty."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", header.strip()).lower()
    name = re.sub(r"[^a-z0-9]+", "_", words).strip("_")
    if name[:1].isdigit():
        name = f"column_{name}"
    return name[:_MAX_NAME_LENGTH].rstrip("_")


def assign(headers: Sequence[str], chosen: Mapping[str, str] | None = None) -> dict[str, int]:
    """Which column holds what: our name, or the attribute's, -> index.

    `chosen` says for some of our names which header holds them, before any alias.

    A column that is left over but has the name of one of ours (`category` beside `subCategory`) becomes
    `source_<name>`. Columns without a usable name, repeated ones and what IGNORED lists are left out, and so
    are columns beyond `MAX_ATTRIBUTES`. Raises InvalidArgument (field `map`) for a choice of a name that is
    not ours or of a column that is not there.
    """
    columns = {name: _column(name, header, headers) for name, header in (chosen or {}).items()}
    found: dict[str, int] = {}
    for index, header in enumerate(headers):
        name = snake_case(header)
        if name and name not in IGNORED and index not in columns.values():
            found.setdefault(name, index)
    columns |= {
        canonical: found.pop(next(alias for alias in aliases if alias in found))
        for canonical, aliases in ALIASES.items()
        if canonical not in columns and any(alias in found for alias in aliases)
    }
    for name, index in found.items():
        if len(columns) < MAX_ATTRIBUTES:
            columns.setdefault(f"source_{name}" if name in ALIASES else name, index)
    return columns


def _column(name: str, header: str, headers: Sequence[str]) -> int:
    if name not in ALIASES:
        raise InvalidArgument("map", f"there is no field {name!r}, there are {', '.join(ALIASES)}")
    if header not in headers:
        raise InvalidArgument("map", f"there is no column {header!r}, there are {', '.join(headers)}")
    return headers.index(header)


def values(cell: str) -> list[str]:
    """The values of a cell: `a|b` are two. Blanks around them, and empty ones, do not count."""
    return [value for part in cell.split(SEPARATOR) if (value := part.strip())]


def kind_of(name: str, value: str) -> Kind:
    """What one value looks like. Names of ids are text, whatever their digits say."""
    if name in _CANONICAL_TEXT or _IDENTIFIER.fullmatch(name):
        return "text"
    if _NUMBER.fullmatch(value):
        return "number"
    return "flag" if value.lower() in _FLAGS else "text"


def typed(kind: Kind, value: str) -> Value:
    """`value`, which `kind_of` finds to be of `kind`, as Python has it."""
    if kind == "number":
        return float(value)
    return _FLAGS[value.lower()] if kind == "flag" else value


def price(cell: str) -> float:
    """The number in a price such as `59`, `$1,299.00`, `59,90 EUR`.

    The last of `.` and `,` is the decimal mark, except that `,` before each three digits groups thousands.
    Raises ValueError when there is no number, or more than one.
    """
    numbers = re.findall(r"-?\d+(?:[.,' \u00a0]\d+)*", cell)
    digits = re.sub(r"[' \u00a0]", "", numbers[0]) if len(numbers) == 1 else ""
    point_is_decimal = "." in digits and digits.rfind(".") > digits.rfind(",")
    if point_is_decimal or re.fullmatch(r"-?\d{1,3}(?:,\d{3})+", digits):
        digits = digits.replace(",", "")
    else:
        digits = digits.replace(".", "").replace(",", ".")
    if not re.fullmatch(r"-?\d{1,15}(?:\.\d+)?", digits):
        raise ValueError(f"{cell!r} is not a price")
    return float(digits)

"""What the columns of a shop's table mean: names of usual shops mapped to ours, and texts to typed values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from services.mesh.errors import InvalidArgument

Value = str | float | bool
Kind = Literal["text", "number", "flag"]
# Our name -> the header that is to hold it; of photos there may be several.
Choices = Mapping[str, str | Sequence[str]]

_CURRENCIES = (
    "eur",
    "usd",
    "gbp",
    "chf",
    "sek",
    "nok",
    "dkk",
    "pln",
    "czk",
    "jpy",
    "cny",
    "inr",
    "aud",
    "cad",
)

# Our name -> the columns that may hold it, as snake_case, the most specific first: of several that are there
# the first is taken, the others stay attributes under their own names. `filename` counts as `file_name`.
# Names with two meanings (`amount`, `label`, `code`) are left to whoever knows the table.
ALIASES: Mapping[str, Sequence[str]] = {
    "id": (
        *("id", "product_id", "article_id", "item_id", "sku", "product_sku", "item_sku"),
        *("article_number", "item_number", "product_number", "article_no", "item_no", "product_no"),
        *("asin", "handle", "variant_sku", "ean", "gtin", "upc", "barcode"),
    ),
    "image": (
        *("image", "image_path", "image_file", "image_filename", "image_name", "file_name"),
        *("file", "file_path", "photo", "photo_path", "photo_file", "photo_name", "photo_url"),
        *("picture", "picture_path", "picture_file", "picture_url", "img", "img_path", "img_file", "img_url"),
        *("image_link", "image_url", "image_src", "main_image", "main_image_url", "base_image"),
        *("images", "image_urls", "images_url", "images_src", "photos", "photos_url", "pictures"),
        *("pictures_url", "media_url", "thumbnail", "thumbnail_url"),
    ),
    "title": (
        *("title", "product_title", "item_title", "product_display_name", "display_name", "prod_name"),
        *("product_name", "item_name", "article_name", "name"),
    ),
    "description": (
        *("description", "detail_desc", "product_description", "item_description", "long_description"),
        *("full_description", "body_html", "short_description", "product_desc", "desc"),
    ),
    "gender": (
        *("gender", "sex", "target_gender", "product_gender", "gender_name", "target_group"),
        *("target_audience", "ideal_for"),
    ),
    "category": (
        *("sub_category", "category", "product_category", "category_name", "item_category"),
        *("product_group", "product_group_name", "google_product_category", "categories"),
        *("category_path", "main_category", "master_category", "department", "department_name"),
    ),
    "type": (
        *("article_type", "product_type", "product_type_name", "item_type", "type", "type_name"),
        *("garment_type", "clothing_type", "kind"),
    ),
    "colour": (
        *("base_colour", "base_color", "colour", "color", "colour_name", "color_name", "main_colour"),
        *("main_color", "primary_colour", "primary_color", "product_colour", "product_color"),
        *("colour_group_name", "color_group_name", "colours", "colors"),
    ),
    "group_id": ("group_id", "item_group_id", "product_group_id", "parent_id", "parent_sku", "product_code"),
    "price": (
        *("price", "unit_price", "product_price", "item_price", "selling_price", "current_price"),
        *("final_price", "regular_price", "list_price", "retail_price", "standard_price", "variant_price"),
        *("price_amount", *(f"price_{currency}" for currency in _CURRENCIES), "sale_price", "cost"),
    ),
    "brand": ("brand", "brand_name", "product_brand", "manufacturer", "vendor"),
    "pattern": ("pattern", "pattern_name", "graphical_appearance_name"),
    "season": ("season", "season_name"),
    "usage": ("usage", "occasion"),
    "url": ("url", "link", "product_url", "product_link", "page_url", "permalink"),
}

_IMAGE = "image"
# `image_2`, `imageUrl2`, and what shopping feeds call further ones.
_FURTHER_IMAGE = re.compile(
    rf"(?:{'|'.join(alias.replace('_', '') for alias in ALIASES[_IMAGE])})\d{{1,2}}"
    r"|additionalimage(?:link|url)s?"
)

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


def assign(headers: Sequence[str], chosen: Choices | None = None) -> dict[str, int]:
    """Which column holds what: our name, or the attribute's, -> index.

    `chosen` says for some of our names which header holds them, before any alias. Photos may be in several
    columns, `image`, `image_2` and so on: those chosen, else the alias's and all that are numbered alike.

    A column that is left over but has the name of one of ours (`category` beside `subCategory`) becomes
    `source_<name>`. Columns without a usable name, repeated ones and what IGNORED lists are left out, and so
    are columns beyond `MAX_ATTRIBUTES`. Raises InvalidArgument (field `map`) for a choice of a name that is
    not ours or of a column that is not there, or of several columns of anything but photos.
    """
    columns: dict[str, int] = {}
    for name, given in (chosen or {}).items():
        picked = [_column(name, header, headers) for header in ([given] if isinstance(given, str) else given)]
        if len(picked) > 1 and name != _IMAGE:
            raise InvalidArgument("map", f"{name} is in one column, only photos may be in several")
        columns |= _numbered(name, picked)
    found: dict[str, int] = {}
    for index, header in enumerate(headers):
        name = snake_case(header)
        if name and name not in IGNORED and index not in columns.values():
            found.setdefault(name, index)
    for canonical, aliases in ALIASES.items():
        if canonical in columns:
            continue
        # `PRODUCTID` says where its words end no more than `productid`.
        names = {_joined(name): name for name in reversed(found)}
        alias = next((alias for alias in map(_joined, aliases) if alias in names), None)
        picked = [] if alias is None else [found.pop(names[alias])]
        if canonical == _IMAGE:
            further = [name for name in found if _FURTHER_IMAGE.fullmatch(_joined(name))]
            picked += [found.pop(name) for name in further]
        columns |= _numbered(canonical, picked)
    for name, index in found.items():
        if len(columns) < MAX_ATTRIBUTES:
            columns.setdefault(f"source_{name}" if name in ALIASES else name, index)
    return columns


def is_image(name: str) -> bool:
    """Whether a name that `assign` gives is that of a column of photos."""
    return name == _IMAGE or re.fullmatch(rf"{_IMAGE}_\d+", name) is not None


def _numbered(name: str, indices: Sequence[int]) -> dict[str, int]:
    return {
        name if number == 1 else f"{name}_{number}": index for number, index in enumerate(indices, start=1)
    }


def _column(name: str, header: str, headers: Sequence[str]) -> int:
    choice = f"{name}={header}"
    if name not in ALIASES:
        raise InvalidArgument(
            "map", f"{choice}: there is no field {name!r}, the fields are {', '.join(ALIASES)}"
        )
    # As it is written, else whatever its capitals and blanks.
    for form in (str.strip, str.casefold, snake_case):
        wanted, written = form(header), [form(each) for each in headers]
        if wanted and wanted in written:
            return written.index(wanted)
    raise InvalidArgument(
        "map", f"{choice}: there is no column {header!r}, the columns are {', '.join(headers)}"
    )


def _joined(name: str) -> str:
    return name.replace("_", "")


def values(cell: str) -> list[str]:
    """The values of a cell: `a|b` are two. Blanks around them, and empty ones, do not count."""
    return [value for part in cell.split(SEPARATOR) if (value := part.strip())]


def kind_of(name: str, value: Value, *, is_cell: bool = True) -> Kind:
    """What one value is, or looks like where it is text of a cell. Names of ids are text, whatever it is."""
    if name in _CANONICAL_TEXT or _IDENTIFIER.fullmatch(name):
        return "text"
    if not isinstance(value, str):
        return "flag" if isinstance(value, bool) else "number"
    if not is_cell:
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

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mesh.errors import InvalidArgument
from vitrine.catalogs import columns


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("baseColour", "base_colour"),
        ("productDisplayName", "product_display_name"),
        (" Product ID ", "product_id"),
        ("2nd colour", "column_2nd_colour"),
        ("цвет", ""),
    ],
)
def test_headers_become_attribute_names(header: str, name: str) -> None:
    """Camel case, blanks and digits in front give snake case, a header in another script gives nothing."""
    assert columns.snake_case(header) == name


@given(st.text(max_size=200))
def test_every_name_is_allowed(header: str) -> None:
    """Whatever the header, the name is one that a product's attribute may have, or empty."""
    assert re.fullmatch(r"([a-z][a-z0-9_]{0,63})?", columns.snake_case(header))


def test_the_most_specific_column_wins() -> None:
    """Of several columns with one meaning the most specific is taken, the others keep their own names."""
    found = columns.assign(
        ["id", "category", "subCategory", "masterCategory", "product_group", "articleType"]
    )
    assert found == {
        "id": 0,
        "category": 2,
        "type": 5,
        "source_category": 1,
        "master_category": 3,
        "product_group": 4,
    }


def test_columns_of_the_image_file_are_no_attributes() -> None:
    """Width, height and size of the file say nothing of the product; a repeated column is read once."""
    assert columns.assign(["sku", "width", "height", "bytes", "brand", "brand"]) == {"id": 0, "brand": 4}


def test_columns_beyond_the_limit_are_left_out() -> None:
    """A product has at most 64 attributes, so a table gives no more."""
    assert len(columns.assign(["id", *(f"extra{number}" for number in range(100))])) == columns.MAX_ATTRIBUTES


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("year", "2011", "number"),
        ("rating", "-4.5", "number"),
        ("size", "08", "text"),
        ("ean", "4006381333931", "text"),
        ("sender_id", "310", "text"),
        ("brand", "1822", "text"),
        ("kids", "False", "flag"),
        ("fit", "slim", "text"),
    ],
)
def test_kinds_of_values(name: str, value: str, kind: columns.Kind) -> None:
    """Digits are numbers unless the column holds ids or is text by its meaning, or a zero is in front."""
    assert columns.kind_of(name, value) == kind


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("59", 59.0),
        ("$1,299.00", 1299.0),
        ("59,90 EUR", 59.9),
        ("1.299,00", 1299.0),
        ("1,299", 1299.0),
        ("12 000,50 kr", 12000.5),
        ("0", 0.0),
    ],
)
def test_prices_are_read_as_shops_write_them(cell: str, number: float) -> None:
    """Currencies, grouped thousands and both decimal marks are understood."""
    assert columns.price(cell) == number


@given(st.floats(0, 1e9).map(lambda value: round(value, 2)))
def test_a_plain_price_is_itself(value: float) -> None:
    """A price with a decimal point reads back as the number it is."""
    assert columns.price(f"{value:.2f}") == value


@pytest.mark.parametrize("cell", ["n/a", "3-5", "1.2.3", "1,2,3", "10 / 20", "9" * 400, "-", ""])
def test_what_is_no_price_is_refused(cell: str) -> None:
    """A text without a number, with two, or with one of impossible form raises ValueError."""
    with pytest.raises(ValueError, match="is not a price"):
        columns.price(cell)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("SKU", "id"), ("PRODUCTID", "id"), ("Handle", "id"), ("Article No.", "id"),
        ("Photo", "image"), ("Image Src", "image"), ("imageURL", "image"), ("FILENAME", "image"),
        ("Product Name", "title"), ("Body (HTML)", "description"), ("Sex", "gender"),
        ("Target-Group", "gender"), ("Department", "category"), ("Categories", "category"),
        ("Kind", "type"), ("Color Name", "colour"), ("COST", "price"), ("Price (EUR)", "price"),
        ("Price €", "price"), ("Regular price", "price"), ("Vendor", "brand"), ("Occasion", "usage"),
    ],
)  # fmt: skip
def test_names_that_shops_use_are_known(header: str, name: str) -> None:
    """Whatever its capitals, blanks and punctuation, a usual name is taken for what it means."""
    assert columns.assign([header]) == {name: 0}


def test_no_name_has_two_meanings() -> None:
    """Each alias belongs to one of our names, also without its underscores."""
    meanings = [{alias.replace("_", "") for alias in names} for names in columns.ALIASES.values()]
    aliases = [alias for names in meanings for alias in names]
    assert len(set(aliases)) == len(aliases)


def test_a_name_of_two_meanings_stays_an_attribute() -> None:
    """An amount may be a price or a stock: it is not guessed."""
    assert columns.assign(["id", "amount"]) == {"id": 0, "amount": 1}


def test_a_choice_goes_before_the_aliases() -> None:
    """The column chosen is found whatever its capitals, in any script, and the alias stays an attribute."""
    assert columns.assign(["id", "Price", "Purchase Cost"], {"price": "purchase cost"}) == {
        "price": 2,
        "id": 0,
        "source_price": 1,
    }
    assert columns.assign(["id", "цвет"], {"colour": "Цвет"}) == {"colour": 1, "id": 0}


@pytest.mark.parametrize(
    ("headers", "photos"),
    [
        (["id", "image", "image_2", "Image 3"], [1, 2, 3]),
        (["imageURL2", "id", "imageURL", "imageURL10"], [2, 0, 3]),
        (["id", "image1", "image2", "image_size"], [1, 2]),
        (["image_link", "additional_image_link", "id"], [0, 1]),
        (["id", "title"], []),
    ],
)
def test_photos_may_be_in_several_columns(headers: list[str], photos: list[int]) -> None:
    """Numbered columns hold further photos, in the order of the table, and are no attributes."""
    found = columns.assign(headers)
    assert [index for name, index in found.items() if columns.is_image(name)] == photos
    assert "image_link_2" not in found


def test_columns_of_photos_can_be_chosen() -> None:
    """In the order given; a column that would have been taken by its name is an attribute then."""
    found = columns.assign(["id", "Front", "Back", "image"], {"image": ["Back", "Front"]})
    assert found == {"image": 2, "image_2": 1, "id": 0, "source_image": 3}
    with pytest.raises(InvalidArgument) as refused:
        columns.assign(["id", "a", "b"], {"title": ["a", "b"]})
    assert refused.value.field == "map"

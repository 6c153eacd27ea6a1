from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mesh import names
from services.mesh.errors import InvalidArgument

_CATALOGS = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)
_PRODUCTS = st.from_regex(r"(?!\.{1,2}$)[A-Za-z0-9._~-]{1,128}", fullmatch=True)


@given(_CATALOGS, _PRODUCTS)
def test_names_read_back(catalog: str, product: str) -> None:
    """What was put into a name comes out of it."""
    assert names.parse_catalog(names.catalog_name(catalog), "x") == catalog
    assert names.parse_product(names.product_name(catalog, product), "x") == (catalog, product)


@given(st.text(max_size=40))
def test_other_texts_are_refused_with_their_field(text: str) -> None:
    """Any text is either a valid id or refused, never something else."""
    for check in (names.check_catalog_id, names.check_product_id):
        try:
            assert check(text, "request.id") == text
        except InvalidArgument as error:
            assert error.field == "request.id"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "shop",
        "catalogs/",
        "catalogs/Shop",
        "catalogs/-a",
        "catalogs/a/b",
        "catalogs/a\n",
        "catalogs/" + "a" * 64,
    ],
)
def test_what_is_no_catalogue_is_refused(name: str) -> None:
    """Upper case, blanks, other resources and long ids are no names of catalogues."""
    with pytest.raises(InvalidArgument) as caught:
        names.parse_catalog(name, "catalog")
    assert caught.value.field == "catalog"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "catalogs/a",
        "catalogs/a/products/",
        "catalogs/A/products/b",
        "catalogs/a/photos/b",
        "catalogs/a/products/b/c",
        "catalogs/a/products/.",
        "catalogs/a/products/..",
    ],
)
def test_what_is_no_product_is_refused(name: str) -> None:
    """Both ids and the words between them must be right; no id is a step in a path."""
    with pytest.raises(InvalidArgument) as caught:
        names.parse_product(name, "name")
    assert caught.value.field == "name"

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mesh.errors import InvalidArgument
from vitrine.catalogs import records
from vitrine.catalogs.folder import CatalogFolder
from vitrine.catalogs.records import JsonRecords, records_of
from vitrine.catalogs.rows import CatalogRow, RowProblem


def lines(path: Path, *objects: object) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in objects), encoding="utf-8")
    return path


def products(path: Path) -> list[CatalogRow | RowProblem]:
    return list(CatalogFolder(path, fetches=True))


def test_a_line_is_a_product(tmp_path: Path) -> None:
    """Lists have several values, objects give members, numbers and flags are what they are."""
    (tmp_path / "a.jpg").write_bytes(b"not looked at")
    path = lines(
        tmp_path / "shop.jsonl",
        {
            "sku": 4711,
            "title": "Red | white shoe",
            "photos": ["a.jpg", "https://shop.example/b.jpg"],
            "attributes": {"colour": ["Red", "White"], "sizes": [41, 42.5], "vegan": True},
            "material": {"sole": "rubber", "care": {"wash": None}},
            "price": {"amount": "59,90 EUR"},
            "brand": "",
        },
    )
    assert products(path) == [
        CatalogRow(
            product_id="4711",
            title="Red | white shoe",
            description="",
            attributes={
                "colour": ["Red", "White"],
                "sizes": [41.0, 42.5],
                "vegan": [True],
                "material_sole": ["rubber"],
                "price": [59.9],
            },
            photos=[tmp_path / "a.jpg"],
            row_number=1,
            addresses=["https://shop.example/b.jpg"],
        )
    ]


def test_objects_in_a_list_give_their_parts(tmp_path: Path) -> None:
    """As shops write their images and variants."""
    images = [{"src": "https://shop.example/1.jpg", "width": 9}, {"src": "https://shop.example/2.jpg"}]
    path = lines(
        tmp_path / "shop.ndjson",
        {"id": "a", "images": images, "variants": [{"size": "M"}, {"size": "L"}]},
    )
    (product,) = products(path)
    assert isinstance(product, CatalogRow)
    assert product.addresses == ["https://shop.example/1.jpg", "https://shop.example/2.jpg"]
    assert product.attributes["variants_size"] == ["M", "L"]


def test_lines_of_one_id_are_one_product(tmp_path: Path) -> None:
    """As rows of a table are; a name that only some lines have is absent from the others."""
    path = lines(
        tmp_path / "shop.jsonl",
        {"id": "a", "image": "https://shop.example/1.jpg"},
        {"id": "b", "image": "https://shop.example/2.jpg", "colour": "Red"},
        {"id": "a", "image": "https://shop.example/3.jpg", "colour": "Blue"},
    )
    found = products(path)
    assert [row.addresses for row in found if isinstance(row, CatalogRow)] == [
        ["https://shop.example/1.jpg", "https://shop.example/3.jpg"],
        ["https://shop.example/2.jpg"],
    ]
    assert [row.attributes for row in found if isinstance(row, CatalogRow)] == [{}, {"colour": ["Red"]}]


def test_an_attribute_of_numbers_and_words_is_words(tmp_path: Path) -> None:
    """A filter can only ask for one kind; ids stay as they are, however long."""
    path = lines(
        tmp_path / "shop.jsonl",
        {"id": 900719925474099312, "size": 41, "image": "https://shop.example/1.jpg"},
        {"id": "b", "size": "XL", "image": "https://shop.example/2.jpg"},
    )
    found = [row for row in products(path) if isinstance(row, CatalogRow)]
    assert [row.product_id for row in found] == ["900719925474099312", "b"]
    assert [row.attributes["size"] for row in found] == [["41"], ["XL"]]


def test_a_bad_line_is_its_own_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no object, no JSON, no UTF-8, nested without end or too long is told by its line."""
    monkeypatch.setattr(records, "MAX_LINE_BYTES", 5_000)
    good = b'{"id": "a", "image": "https://shop.example/1.jpg"}\n'
    path = tmp_path / "shop.jsonl"
    deep = b'{"id": ' + b"[" * 2_000 + b"]" * 2_000 + b"}\n"
    path.write_bytes(
        b"\xef\xbb\xbf"
        + good
        + b'[1]\n{"id": \n\xff{}\n\n'
        + b'{"x": "'
        + b"x" * 20_000
        + b'"}\n'
        + good
        + deep
    )
    found = products(path)
    assert [row.row_number for row in found if isinstance(row, RowProblem)] == [2, 3, 4, 6, 8]
    assert [row.row_number for row in found if isinstance(row, CatalogRow)] == [1]


def test_without_an_object_there_is_no_table(tmp_path: Path) -> None:
    """An empty file, or one of empty objects, is refused as a whole."""
    for text in ("", "\n", "{}\n", "[]\n"):
        (tmp_path / "shop.jsonl").write_text(text)
        with pytest.raises(InvalidArgument):
            JsonRecords(tmp_path / "shop.jsonl")


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".TAB"])
def test_other_suffixes_are_tables_of_cells(tmp_path: Path, suffix: str) -> None:
    """The separator is found, whatever the file is called."""
    path = tmp_path / f"shop{suffix}"
    path.write_text("id\timage\n1\ta.jpg\n")
    assert list(records_of(path)) == [(2, ["1", "a.jpg"])]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.sampled_from(["id", "image", "price", "a", ""]), _JSON, max_size=4)))
def test_any_objects_can_be_read(tmp_path_factory: pytest.TempPathFactory, objects: list[object]) -> None:
    """Whatever is in them, each is a product, a problem or left out, and a file is read alike twice."""
    path = lines(tmp_path_factory.mktemp("json") / "shop.jsonl", *objects)
    try:
        folder = CatalogFolder(path, fetches=True)
    except InvalidArgument as error:
        assert error.field == "folder"
    else:
        assert list(folder) == list(folder)

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from services.mesh import names
from services.mesh.errors import InvalidArgument
from vitrine.catalogs.folder import CatalogFolder
from vitrine.catalogs.rows import MAX_PHOTOS, CatalogRow, RowProblem, product_id


def catalog(root: Path, table: str | bytes, photos: Sequence[str]) -> CatalogFolder:
    (root / "images").mkdir(exist_ok=True)
    for name in photos:
        path = root / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not looked at")
    (root / "products.csv").write_bytes(table if isinstance(table, bytes) else table.encode())
    return CatalogFolder(root)


def products(folder: CatalogFolder) -> list[CatalogRow]:
    return [row for row in folder if isinstance(row, CatalogRow)]


def problems(folder: CatalogFolder) -> list[RowProblem]:
    return [row for row in folder if isinstance(row, RowProblem)]


def test_a_row_is_a_product(tmp_path: Path) -> None:
    """Text, attributes and photo of a row are those of the product, under the names that search knows."""
    table = (
        "id,image,title,gender,subCategory,baseColour,year,kids,Price,width\n"
        "7,a.jpg,Red Shoe,Men,Shoes,Red,2011,False,9.50,80\n"
    )
    folder = catalog(tmp_path, table, ["a.jpg"])
    assert folder.product_count == 1
    assert list(folder) == [
        CatalogRow(
            product_id="7",
            title="Red Shoe",
            description="",
            attributes={
                "gender": ["Men"],
                "category": ["Shoes"],
                "colour": ["Red"],
                "year": [2011.0],
                "kids": [False],
                "price": [9.5],
            },
            photos=[tmp_path / "images" / "a.jpg"],
            row_number=2,
        )
    ]


def test_a_folder_can_be_read_twice(tmp_path: Path) -> None:
    """Each iteration starts anew and gives the same."""
    folder = catalog(tmp_path, "id,image\n1,a.jpg\n2,b.jpg\n", ["a.jpg"])
    assert list(folder) == list(folder)


def test_rows_of_one_id_are_photos_of_one_product(tmp_path: Path) -> None:
    """Rows need not stand together; the product has the attributes of its first, and each photo once."""
    table = "sku,image,title\nA,1.jpg,first\nB,2.jpg,other\nA,3.jpg,second\nA,1.jpg,again\n"
    rows = products(catalog(tmp_path, table, ["1.jpg", "2.jpg", "3.jpg"]))
    assert [(row.product_id, row.title, [photo.name for photo in row.photos]) for row in rows] == [
        ("A", "first", ["1.jpg", "3.jpg"]),
        ("B", "other", ["2.jpg"]),
    ]


def test_a_missing_photo_is_a_problem_of_its_row(tmp_path: Path) -> None:
    """The rest of the product, and of the table, is there all the same."""
    folder = catalog(tmp_path, "id,image\n1,gone.jpg\n1,a.jpg\n2,gone.jpg\n3,a.jpg\n", ["a.jpg"])
    assert [row.product_id for row in products(folder)] == ["1", "3"]
    assert [(problem.row_number, problem.product_id) for problem in problems(folder)] == [(2, "1"), (4, "2")]
    assert "gone.jpg" in problems(folder)[0].message


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (",,no id", "id"),
        ("1,../products.csv,outside", "image"),
        ("1,/etc/hostname,outside", "image"),
        ("1,nul\0.jpg,impossible", "image"),
        (f"1,{'x' * 5000}.jpg,too long", "image"),
        ("1,http://a.test/b/,an address", "image"),
        ("1,a.jpg,t,12,too,many,cells", ""),
        ("1,a.jpg,t,free", "price"),
    ],
)
def test_one_bad_row_fails_alone(tmp_path: Path, row: str, field: str) -> None:
    """What is wrong with a row is told with its number and field, and the next row is read."""
    folder = catalog(tmp_path, f"id,image,title,price\n{row}\n2,a.jpg,good,3\n", ["a.jpg"])
    found = list(folder)
    assert [type(each) for each in found] == [RowProblem, CatalogRow]
    assert isinstance(found[0], RowProblem)
    assert (found[0].row_number, found[0].field) == (2, field)


def test_an_endless_cell_fails_alone(tmp_path: Path) -> None:
    """A cell beyond what the reader takes is a problem of its row; what follows is read."""
    folder = catalog(tmp_path, f"id,image\n1,{'x' * 200_000}\n2,a.jpg\n", ["a.jpg"])
    assert [row.product_id for row in products(folder)] == ["2"]
    assert "cannot be read" in problems(folder)[0].message


def test_photos_beyond_the_limit_are_problems(tmp_path: Path) -> None:
    """A product keeps its first sixteen photos."""
    names = [f"{number}.jpg" for number in range(MAX_PHOTOS + 2)]
    folder = catalog(tmp_path, f"id,image\n1,{'|'.join(names)}\n", names)
    assert len(products(folder)[0].photos) == MAX_PHOTOS
    assert len(problems(folder)) == 2


@pytest.mark.parametrize(
    "image",
    ["a.jpg", "a", "images/a.jpg", "https://cdn.test/x/a.jpg?w=200", "images\\a.jpg"],
)
def test_ways_to_name_a_photo(tmp_path: Path, image: str) -> None:
    """A photo is found in `images/` or the folder, without its suffix, and by the file name of an address."""
    assert products(catalog(tmp_path, f"id,image_url\n1,{image}\n", ["a.jpg"]))[0].photos[0].name == "a.jpg"


def test_without_images_the_id_is_the_photo(tmp_path: Path) -> None:
    """A table of ids alone finds `images/<id>.*`, one of images alone has their names as ids."""
    ids = catalog(tmp_path, "product_id\n10001\n", ["10001.webp"])
    assert products(ids)[0].photos[0].name == "10001.webp"
    images = catalog(tmp_path, "filename\n10001.webp\n", ["10001.webp"])
    assert products(images)[0].product_id == "10001"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_delimiters_and_encodings(tmp_path: Path, delimiter: str, encoding: str) -> None:
    """Tables of spreadsheets in Europe, with or without a byte order mark, read the same."""
    table = f'id{delimiter}image{delimiter}title\r\n1{delimiter}a.jpg{delimiter}"Größe 38, »Élan«"\r\n'
    assert products(catalog(tmp_path, table.encode(encoding), ["a.jpg"]))[0].title == "Größe 38, »Élan«"


def test_cells_with_several_values(tmp_path: Path) -> None:
    """`a|b` are two values, empty cells are absent, and a JSON object in `attributes` gives its members."""
    table = (
        "id,image,all_colours,brand,attributes\n"
        '1,a.jpg,red| blue |,,"{""Material"": ""Nylon|Wool"", ""eco"": true, ""level"": 3, ""odd"": [1]}"\n'
        "2,a.jpg,green,,not json\n"
        f"3,a.jpg,green,,{'[' * 100_000}\n"
    )
    first, second, third = products(catalog(tmp_path, table, ["a.jpg"]))
    assert first.attributes == {
        "all_colours": ["red", "blue"],
        "material": ["Nylon", "Wool"],
        "eco": [True],
        "level": [3.0],
    }
    assert second.attributes == third.attributes == {"all_colours": ["green"]}


def test_a_column_has_one_type(tmp_path: Path) -> None:
    """One value that is no number makes the whole column text."""
    table = "id,image,size,year\n1,a.jpg,38,2011\n2,a.jpg,M,2012\n"
    first, second = products(catalog(tmp_path, table, ["a.jpg"]))
    assert (first.attributes, second.attributes) == (
        {"size": ["38"], "year": [2011.0]},
        {"size": ["M"], "year": [2012.0]},
    )


def test_a_tree_of_photos(tmp_path: Path) -> None:
    """Without a table each file name is a product, titled by its words; hidden and other files are not."""
    for name in ("denim_jacket.png", "denim_jacket.JPG", "men/shoe 1.jpg", ".hidden.jpg", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    folder = CatalogFolder(tmp_path)
    assert folder.product_count == 2
    jacket, shoe = products(folder)
    assert (jacket.product_id, jacket.title, len(jacket.photos)) == ("denim_jacket", "denim jacket", 2)
    assert (shoe.product_id, shoe.title) == (product_id("men/shoe 1"), "shoe 1")
    assert shoe.attributes == {"source_id": ["men/shoe 1"]}


@pytest.mark.parametrize("table", [b"", b"\n", b"title,price\nx,1\n"])
def test_a_table_that_is_none(tmp_path: Path, table: bytes) -> None:
    """A table without a header, or without ids and images, is refused as a whole."""
    with pytest.raises(InvalidArgument, match=r"no header|neither a column"):
        catalog(tmp_path, table, [])


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    """So is a folder that is not there, and one with nothing in it."""
    with pytest.raises(InvalidArgument, match="neither a folder nor a table"):
        CatalogFolder(tmp_path / "gone")
    with pytest.raises(InvalidArgument, match="nor a photo"):
        CatalogFolder(tmp_path)


@given(st.one_of(st.sampled_from([".", ".."]), st.text(min_size=1)))
def test_every_text_has_an_id(text: str) -> None:
    """An id that is allowed stays, anything else is given one that is, the same each time."""
    identifier = product_id(text)
    assert identifier == product_id(identifier) == product_id(text)
    assert names.check_product_id(identifier, "id") == identifier


@given(st.lists(st.text("aA-/ ~.", min_size=1), min_size=2, max_size=8, unique=True))
def test_ids_do_not_collide(texts: list[str]) -> None:
    """Different texts have different ids, though they differ only in what is not allowed."""
    assert len({product_id(text) for text in texts}) == len(texts)


@given(st.binary(max_size=400))
def test_no_table_raises_anything_else(tmp_path_factory: pytest.TempPathFactory, table: bytes) -> None:
    """Whatever bytes `products.csv` holds, they are read or refused as a whole with InvalidArgument."""
    try:
        rows = list(catalog(tmp_path_factory.mktemp("any"), b"id,image,price\n" + table, ["a.jpg"]))
        rows += list(catalog(tmp_path_factory.mktemp("any"), table, ["a.jpg"]))
    except InvalidArgument as error:
        assert error.field == "folder"
    else:
        assert all(isinstance(row, CatalogRow | RowProblem) for row in rows)


def test_columns_are_taken_as_chosen(tmp_path: Path) -> None:
    """A choice goes before any alias, and the folder tells what it read from which column."""
    table = "SKU,Photo,Name,Sex,Department,Cost,Season\na1,a.jpg,Red shoe,Men,Shoes,59,Winter\n"
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(b"not looked at")
    (tmp_path / "items.csv").write_text(table)
    folder = CatalogFolder(tmp_path, {"usage": "Season"})
    assert folder.table == tmp_path / "items.csv"
    assert folder.columns == {
        "usage": "Season",
        "id": "SKU",
        "image": "Photo",
        "title": "Name",
        "gender": "Sex",
        "category": "Department",
        "price": "Cost",
    }
    [product] = products(folder)
    assert product.attributes == {
        "usage": ["Winter"],
        "gender": ["Men"],
        "category": ["Shoes"],
        "price": [59.0],
    }


@pytest.mark.parametrize("choice", [{"price": "Preis"}, {"costs": "Cost"}])
def test_choices_that_fit_nothing_are_refused(tmp_path: Path, choice: dict[str, str]) -> None:
    """A field or a column that is not there is named."""
    (tmp_path / "products.csv").write_text("id,Cost\na,1\n")
    with pytest.raises(InvalidArgument) as refused:
        CatalogFolder(tmp_path, choice)
    assert refused.value.field == "map"


def test_of_several_tables_one_must_be_named_so(tmp_path: Path) -> None:
    """Which of two tables is meant is not guessed."""
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("id\n1\n")
    with pytest.raises(InvalidArgument, match=r"a\.csv, b\.csv"):
        CatalogFolder(tmp_path)


def test_real_catalogues(shared_data: Path | None, drawn_catalog: Path) -> None:
    """Catalogues of several shops are read whole, each product with a photo and a category."""
    tables = sorted(shared_data.glob("*/products.csv")) if shared_data else [drawn_catalog / "products.csv"]
    folders = [table.parent for table in tables]
    assert folders
    for root in folders:
        folder = CatalogFolder(root)
        rows = list(folder)
        with (root / "products.csv").open(encoding="utf-8", newline="") as file:
            ids = {row["id"] for row in csv.DictReader(file)}
        found = [row for row in rows if isinstance(row, CatalogRow)]
        assert {row.product_id for row in found} == ids
        assert len(found) == len(rows) == folder.product_count
        assert all("category" in row.attributes for row in found if row.title)
        with Image.open(found[0].photos[0]) as picture:
            assert picture.width > 0


def test_a_table_of_any_name_and_case_is_taken_when_it_is_the_only_one(tmp_path: Path) -> None:
    """Hidden files do not count, and the suffix may have capitals."""
    (tmp_path / "a.jpg").write_bytes(b"not looked at")
    (tmp_path / ".lock.csv").write_text("nothing")
    (tmp_path / "EXPORT.CSV").write_text("id\na\n")
    assert CatalogFolder(tmp_path).table == tmp_path / "EXPORT.CSV"


def test_a_table_alone_is_a_catalogue(tmp_path: Path) -> None:
    """Its photos are looked for beside it, or on the web where they may be fetched."""
    (tmp_path / "a.jpg").write_bytes(b"not looked at")
    table = tmp_path / "export.tsv"
    table.write_text(
        "id\timage\timage_2\n"
        "1\ta.jpg\thttps://shop.example/1b.jpg\n"
        "2\thttps://shop.example/a.jpg|http://shop.example/2.jpg\t\n"
        "3\tftp://shop.example/3.jpg\t\n"
    )
    folder = CatalogFolder(table, fetches=True)
    assert folder.table == table
    rows = products(folder)
    assert [[path.name for path in row.photos] for row in rows] == [["a.jpg"], ["a.jpg"]]
    assert [row.addresses for row in rows] == [["https://shop.example/1b.jpg"], ["http://shop.example/2.jpg"]]
    assert [problem.product_id for problem in problems(folder)] == ["3"]
    assert len(problems(CatalogFolder(table))) == 3


def test_a_folder_of_json_lines_is_a_catalogue(tmp_path: Path) -> None:
    """The table may be JSON Lines; one called products goes before others."""
    (tmp_path / "other.csv").write_text("id,image\n")
    (tmp_path / "products.jsonl").write_text('{"id": "1", "image": "a.jpg"}\n')
    assert CatalogFolder(tmp_path).table == tmp_path / "products.jsonl"


def test_other_files_are_no_table(tmp_path: Path) -> None:
    """A picture, or a spreadsheet's own format, is refused by its suffix."""
    (tmp_path / "shop.xlsx").write_bytes(b"PK")
    with pytest.raises(InvalidArgument, match=r"\.jsonl"):
        CatalogFolder(tmp_path / "shop.xlsx")


def test_photos_beyond_the_limit_are_problems_wherever_they_lie(tmp_path: Path) -> None:
    """Files and addresses count together, each once."""
    addresses = [f"https://shop.example/{number}.jpg" for number in range(MAX_PHOTOS + 2)]
    (tmp_path / "shop.csv").write_text(f"id,image\n1,{'|'.join([*addresses, addresses[0]])}\n")
    folder = CatalogFolder(tmp_path / "shop.csv", fetches=True)
    assert [len(row.addresses) for row in products(folder)] == [MAX_PHOTOS]
    assert len(problems(folder)) == 2

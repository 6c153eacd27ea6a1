"""The console reads tables as the command does: its modules in the browser beside those in Python."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from services.mesh.errors import InvalidArgument
from vitrine.catalogs import columns
from vitrine.catalogs.columns import Value
from vitrine.catalogs.folder import CatalogFolder
from vitrine.catalogs.records import CsvRecords
from vitrine.catalogs.rows import CatalogRow, RowProblem, product_id

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]

MODULES = "/js/console/import"
CASES = 400

READ = """async (files) => {
  const { opened } = await import("/js/console/import/files.js");
  const { knownColumns } = await import("/js/console/import/columns.js");
  const entries = files.map(([path, text]) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return { path, file: new File([bytes], path.split("/").pop()) };
  });
  const pathOf = new Map(entries.map(({ path, file }) => [file, path]));
  const found = await opened(entries, await knownColumns());
  const source = found.source(null);
  await source.survey();
  const items = [];
  for await (const item of source.items()) {
    if (item.key) items.push({ row: item.row, lost: Boolean(item.lost), id: item.id });
    else items.push({
      ...item,
      attributes: Object.fromEntries(item.attributes),
      photos: item.photos.map((photo) => pathOf.get(photo) ?? photo),
    });
  }
  return { total: source.total, items };
}"""


def sent(value: Value) -> dict[str, Any]:
    """A value as the API takes it."""
    if isinstance(value, bool):
        return {"flag": value}
    return {"text": value} if isinstance(value, str) else {"number": value}


def files_of(folder: Path) -> list[tuple[str, str]]:
    """The files in a folder: paths from beside it, and contents in base64."""
    return [
        (path.relative_to(folder.parent).as_posix(), base64.b64encode(path.read_bytes()).decode())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]


async def expect_same(page: Page, folder: Path) -> list[Any]:
    """Read a folder in the browser and in Python, and compare all products; those that the browser gave."""
    read = await page.evaluate(READ, files_of(folder))
    found = list(CatalogFolder(folder, fetches=True))
    products = [item for item in read["items"] if "photos" in item]
    assert products == [
        {
            "id": row.product_id,
            "title": row.title,
            "description": row.description,
            "attributes": {
                name: [sent(value) for value in values] for name, values in row.attributes.items()
            },
            "photos": [
                *(path.relative_to(folder.parent).as_posix() for path in row.photos),
                *row.addresses,
            ],
            "row": row.row_number,
        }
        for row in found
        if isinstance(row, CatalogRow)
    ]
    troubled = {row.row_number for row in found if isinstance(row, RowProblem)}
    assert {item["row"] for item in read["items"] if "photos" not in item} == troubled
    lost = sum(bool(item.get("lost")) for item in read["items"])
    assert read["total"] == len(products) + lost
    return products


def drawn_texts(seed: int, alphabet: str, longest: int) -> list[str]:
    """Texts of few letters, so that those that mean something come often."""
    draw = random.Random(seed)
    return ["".join(draw.choices(alphabet, k=draw.randint(1, longest))) for _ in range(CASES)]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
async def test_cells_are_those_of_the_csv_module(page: Page, separator: str) -> None:
    """Quotes, doubled ones, line breaks within and of all kinds, and quotes where none should be."""
    texts = drawn_texts(7, f'ab"" {separator}{separator}\r\n\n', 24)
    script = f"""async ([texts, separator]) => {{
      const {{ records }} = await import("{MODULES}/csv.js");
      return texts.map((text) => [...records(text, separator)]);
    }}"""
    found = await page.evaluate(script, [texts, separator])
    # A blank line has no cell there, and an empty one here.
    expected = [
        [cells or [""] for cells in csv.reader(io.StringIO(text, newline=""), delimiter=separator)]
        for text in texts
    ]
    assert found == expected


async def test_the_separator_is_that_of_the_command(page: Page, tmp_path: Path) -> None:
    """Whichever the header has most of; the first of several as frequent."""
    headers = ["a,b;c", "a;b;c,d", "a\tb|c\td", "a|b", "only", "a,b;c\nx;y;z;w"]
    script = f"""async (texts) => {{
      const {{ separatorOf, records }} = await import("{MODULES}/csv.js");
      return texts.map((text) => records(text, separatorOf(text)).next().value);
    }}"""
    expected = []
    for number, header in enumerate(headers):
        path = tmp_path / f"{number}.csv"
        path.write_text(header, encoding="utf-8")
        expected.append(list(CsvRecords(path).headers))
    assert await page.evaluate(script, headers) == expected


async def test_a_quote_that_nobody_closes_costs_its_row(page: Page) -> None:
    """What swallows the rest of a large table is told as a row that cannot be read."""
    script = f"""async () => {{
      const {{ records, MAX_CELL }} = await import("{MODULES}/csv.js");
      return [...records('id,title\\na,"' + "x\\n".repeat(MAX_CELL), ",")];
    }}"""
    assert await page.evaluate(script) == [["id", "title"], None]


async def test_columns_are_taken_for_the_same(page: Page) -> None:
    """Whatever the names in a header, each column means to the console what it means to the command."""
    draw = random.Random(11)
    names = [alias for aliases in columns.ALIASES.values() for alias in aliases]
    names += ["Base Colour", "imageUrl2", "image-3", "additional_image_link", "width", "2nd", "größe", ""]
    names += ["PRODUCTID", "subCategory", "source_id", "attributes", "ID"]
    # What every object has, and every table may name a column.
    names += ["constructor", "valueOf", "__proto__"]
    headers = [draw.choices(names, k=draw.randint(1, 12)) for _ in range(CASES)]
    headers.append([f"extra{number}" for number in range(100)])
    headers.append(["id", "constructor"])
    script = f"""async (headers) => {{
      const {{ assign, knownColumns, rolesOf }} = await import("{MODULES}/columns.js");
      const known = await knownColumns();
      const found = headers.map((one) => assign(one, known));
      const again = headers.map((one, place) => assign(one, known, rolesOf(one, found[place])));
      return [found, again].map((all) => all.map((one) => Object.fromEntries(one)));
    }}"""
    found, again = await page.evaluate(script, headers)
    assert found == [columns.assign(header) for header in headers]
    # Who chooses what was taken anyway changes nothing.
    for header, one, other in zip(headers, found, again, strict=True):
        assert {name: other[name] for name in one} == one, header


async def test_what_the_visitor_chooses_goes_before_the_names(page: Page) -> None:
    """A column holds what it is said to; the one that held it becomes an attribute."""
    script = f"""async () => {{
      const {{ assign, chosen, knownColumns, rolesOf }} = await import("{MODULES}/columns.js");
      const known = await knownColumns();
      const headers = ["id", "Artikel", "image", "image_2", "цвет", "width", "price", "cost"];
      let roles = rolesOf(headers, assign(headers, known));
      const attributes = [[4, "attribute"], [5, "attribute"]];
      const changes = [[1, "id"], ...attributes, [3, "ignore"], [7, "price"], [6, "image"]];
      for (const [index, role] of changes) roles = chosen(roles, index, role);
      return Object.fromEntries(assign(headers, known, roles));
    }}"""
    assert await page.evaluate(script) == {
        "id": 1,
        "image": 2,
        "image_2": 6,
        "price": 7,
        "source_id": 0,
        "column_5": 4,
        "width": 5,
    }


async def test_values_are_of_the_same_kinds(page: Page) -> None:
    """Texts, numbers and flags are told apart alike, and so are prices."""
    cells = [*drawn_texts(3, "0015.,'- €aE", 9), "$1,299.00", "1.299,00 €", "59,90", "on request", "1,299"]
    prices: list[float | None] = []
    for cell in cells:
        try:
            prices.append(columns.price(cell))
        except ValueError:
            prices.append(None)
    values = [*drawn_texts(5, "0012.-", 5), "true", "False", "yes", "007", "1e5"]
    names = ["size", "sender_id", "ean"]
    script = f"""async ([cells, values, names]) => {{
      const {{ kindOf, priceIn }} = await import("{MODULES}/cells.js");
      const how = {{ isCell: true, isText: false }};
      const kinds = names.map((name) => values.map((value) => kindOf(name, value, how)));
      return [cells.map(priceIn), kinds];
    }}"""
    found_prices, found_kinds = await page.evaluate(script, [cells, values, names])
    assert found_prices == prices
    assert found_kinds == [[columns.kind_of(name, value) for value in values] for name in names]


async def test_ids_are_those_of_the_command(page: Page) -> None:
    """An id that cannot be one gets the same digest on every way into the catalogue."""
    texts = ["a 3", "4711", "", "Größe/42", "x" * 200, "日本語", "-a-", "a" * 55 + " ", "a" * 119, "👟 shoe"]
    script = f"""async (texts) => {{
      const {{ productId }} = await import("{MODULES}/identifiers.js");
      return texts.map(productId);
    }}"""
    assert await page.evaluate(script, texts) == [product_id(text) for text in texts]


async def test_a_spreadsheets_table_is_read_alike(page: Page, tmp_path: Path) -> None:
    """Windows-1252, semicolons, several photos and rows a product, kinds of columns, and bad rows."""
    folder = tmp_path / "shop"
    (folder / "images" / "shoes").mkdir(parents=True)
    for name in ("images/1.jpg", "images/1-back.JPG", "images/shoes/2.png", "3.webp", "images/5.jpg"):
        (folder / name).write_bytes(name.encode())
    rows = [
        "SKU;Bild;image;image_2;productDisplayName;subCategory;category;Preis;price;year;kids;size;attributes",
        (
            '1;x;1.jpg|1-back.JPG;;"Größe ""L""; rot";Shoes;Old;7;59,90 €;2011;true;41;'
            '"{""sole"": ""a|b"", ""n"": 4}"'
        ),
        "2;x;shoes/2;;Zwei;;;;1.299,00;2012;FALSE;08;",
        " ;x;https://cdn.shop.example/a%20b/3.webp?w=6;;Drei;;;;;;;;",
        "1;x;5.jpg;https://cdn.shop.example/x.jpg;nicht;;;;;;;;",
        "a 4;x;http://cdn.shop.example/4;;;;;;;;;;",
        "5;x;;;leer;;;;on request;;;;",
        "5b;x;none.jpg;;fehlt;;;;;;;;",
        "6;x;../6.jpg;;;;;;;;;;",
        ";x;;;;;;;;;;;",
        ";;;;;;;;;;;;",
        "7;x;1.jpg;;;;;;;;;;;too many",
        "8;x;1.jpg",
    ]
    (folder / "products.csv").write_bytes("\r\n".join(rows).encode("cp1252"))
    products = await expect_same(page, folder)
    assert [product["id"] for product in products] == ["1", "2", "3", product_id("a 4"), "8"]
    assert products[0]["title"] == 'Größe "L"; rot'


async def test_json_lines_are_read_alike(page: Page, tmp_path: Path) -> None:
    """Lists, objects in objects and in lists, long integers, mixed kinds and lines that are no objects."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"not looked at")
    deep: Any = "end"
    for _ in range(12):
        deep = {"in": deep}
    objects = [
        {"sku": 4711, "title": " Red | white ", "image": ["a.jpg", "https://shop.example/b.jpg"]},
        {
            "sku": 900719925474099312,
            "image": "a",
            "images": [{"src": "https://shop.example/1.jpg", "width": 9}],
        },
        {
            "sku": "c",
            "image": "a",
            "attributes": {"colour": ["Red", "White"], "sizes": [41, 42.5], "ok": True},
        },
        {"sku": "d", "image": "a", "material": {"sole": "rubber", "care": {"wash": None}}, "deep": deep},
        {"sku": "e", "image": "a", "price": {"amount": "59,90 EUR"}, "sizes": "XL", "empty": [], "brand": ""},
        {"sku": "c", "image": "https://shop.example/3.jpg"},
    ]
    lines = [json.dumps(each).encode() for each in objects]
    content = b"\xef\xbb\xbf" + b"\n".join([lines[0], b"[1]", b'{"id": ', b"\xff{}", b"", *lines[1:]])
    (folder / "shop.jsonl").write_bytes(content)
    products = await expect_same(page, folder)
    assert [product["id"] for product in products] == ["4711", "900719925474099312", "c", "d", "e"]


async def test_a_line_with_very_many_values_is_read(page: Page) -> None:
    """However long a list is, each of its values is looked at but once."""
    script = f"""async () => {{
      const {{ objects }} = await import("{MODULES}/jsonl.js");
      const line = '{{"sizes": [' + "1,".repeat(1_000_000) + "2]}}";
      const [[number, found]] = objects(new TextEncoder().encode(line));
      return [number, found.get("sizes").length];
    }}"""
    async with asyncio.timeout(60):
        assert await page.evaluate(script) == [1, 1_000_001]


async def test_a_product_of_very_many_rows_is_read(page: Page) -> None:
    """However many rows a product has, they are gathered in one go."""
    script = f"""async () => {{
      const {{ TableSource }} = await import("{MODULES}/rows.js");
      const {{ knownColumns }} = await import("{MODULES}/columns.js");
      const count = 400_000;
      const table = {{
        *rows() {{
          for (let row = 2; row < count + 2; row += 1) yield [row, ["a", "a.jpg"]];
        }},
      }};
      const source = new TableSource(table, new Map([["id", 0], ["image", 1]]), null, await knownColumns());
      await source.survey();
      return [source.total, source.furtherRows];
    }}"""
    async with asyncio.timeout(60):
        assert await page.evaluate(script) == [1, 399_999]


async def test_other_work_comes_between_lines(page: Page) -> None:
    """While the names in a large file of lines are gathered, the page answers."""
    script = f"""async () => {{
      const {{ readTable }} = await import("{MODULES}/tables.js");
      const {{ knownColumns }} = await import("{MODULES}/columns.js");
      const known = await knownColumns();
      const file = new File(['{{"id": "a", "image": "a.jpg"}}\\n'.repeat(200_000)], "shop.jsonl");
      let turns = 0;
      let isGoing = true;
      const turn = () => setTimeout(() => {{
        turns += 1;
        if (isGoing) turn();
      }});
      turn();
      const {{ headers }} = await readTable(file, known);
      isGoing = false;
      return [headers, turns > 5];
    }}"""
    assert await page.evaluate(script) == [["id", "image"], True]


async def test_photos_alone_are_read_alike(page: Page, tmp_path: Path) -> None:
    """Each file is a product, called as it lies; suffixes make no difference, hidden files do not count."""
    folder = tmp_path / "photos"
    (folder / "women" / ".cache").mkdir(parents=True)
    for name in ("red_shoe-1.jpg", "red_shoe-1.png", "women/Grüner Hut.jpg", "notes.txt", ".x.jpg"):
        (folder / name).write_bytes(name.encode())
    (folder / "women" / ".cache" / "y.jpg").write_bytes(b"y")
    products = await expect_same(page, folder)
    assert [product["title"] for product in products] == ["red shoe 1", "Grüner Hut"]


async def test_photos_need_not_lie_beside_their_table(page: Page) -> None:
    """Of files that were chosen one by one the names count, whatever folder the table says."""
    table = "id,image\na,C:\\photos\\A1.JPG\nb,shoes/b.png\n"
    files = [("export.csv", table), ("a1.jpg", "x"), ("b.png", "y")]
    encoded = [(path, base64.b64encode(text.encode()).decode()) for path, text in files]
    read = await page.evaluate(READ, encoded)
    assert [item["photos"] for item in read["items"]] == [["a1.jpg"], ["b.png"]]


@pytest.mark.parametrize(
    ("names", "key"),
    [
        (("notes.txt",), "import.files.none"),
        (("a.csv", "b.csv"), "import.files.tables"),
        (("empty.csv",), "import.table.empty"),
        (("empty.jsonl",), "import.table.empty"),
    ],
)
async def test_what_holds_nothing_is_told(
    page: Page, tmp_path: Path, names: tuple[str, ...], key: str
) -> None:
    """Neither a table nor a photo, several tables, and a table without a header."""
    folder = tmp_path / "shop"
    folder.mkdir()
    for name in names:
        (folder / name).write_text("", encoding="utf-8")
    with pytest.raises(InvalidArgument):
        CatalogFolder(folder)
    script = f"async (files) => {{ try {{ await ({READ})(files); }} catch (error) {{ return error.key; }} }}"
    assert await page.evaluate(script, [(name, "") for name in names]) == key

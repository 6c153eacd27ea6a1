"""Catalogue folders as products.

A catalogue folder holds `products.csv`, one row a photo, and the photos, in `images/` or beside the table. A
folder without a table is taken for a tree of photos, each file name (without suffix) one product.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from services.mesh.errors import InvalidArgument
from vitrine.catalogs import columns
from vitrine.catalogs.columns import Kind, Value

TABLE = "products.csv"
IMAGES = "images"
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")
MAX_PHOTOS = 16

_PRODUCT_ID = re.compile(r"[A-Za-z0-9._~-]{1,128}")


@dataclass(frozen=True, slots=True)
class CatalogRow:
    """A product: its attributes are those of the row named by `row_number`, its photos those of all its rows.

    `photos` are 1 to 16 files that exist, whether they are pictures is not known yet. Rows are counted as a
    spreadsheet does: the header is row 1. In a tree of photos the files are counted, from 1.
    """

    product_id: str
    title: str
    description: str
    attributes: dict[str, list[Value]]
    photos: list[Path]
    row_number: int


@dataclass(frozen=True, slots=True)
class RowProblem:
    """Why a row gives no product, or not its photo. `product_id` is empty where the row does not tell it."""

    row_number: int
    field: str
    message: str
    product_id: str = ""


class CatalogFolder:
    """A catalogue folder, looked through once when made, so that its size and its columns' types are known.

    Iterating yields each product at its first row, and each problem at its row; only ids and the names of
    further photos are held in memory. `product_count` is the number of products if no row has a problem.

    The table is UTF-8, or else read as Windows-1252; cells are separated by whichever of `,` `;` tab and `|`
    the header has most of. Columns are named as in `vitrine.catalogs.columns`.

    - `a|b` in a cell are two values (of `image`: two photos). An empty cell is absent.
    - A column whose every value is a number, or true or false, has numbers or flags; columns of ids are text.
    - A cell of a column `attributes` that is a JSON object gives its members.
    - A product without an id is called as its photo, one without an image by its id.
    - An image given by an address is looked for by its file name. Nothing is fetched.

    `chosen` says for some fields which column holds them. A table of another name is taken where it is the
    only `.csv`; `table` is the one that was read, None for a tree of photos.

    Raises InvalidArgument when there is no such folder, its table is empty or has neither ids nor images,
    there are several tables and none is called `products.csv`, there is neither a table nor a photo, or a
    choice fits no column.
    """

    def __init__(self, root: Path, chosen: Mapping[str, str] | None = None) -> None:
        if not root.is_dir():
            raise InvalidArgument("folder", f"{root} is not a folder")
        self.root = root
        self.table = _table_of(root)
        if chosen and self.table is None:
            raise InvalidArgument("map", f"{root} has no table, so no columns")
        self._source: _Table | _Tree = _Table(self.table, chosen or {}) if self.table else _Tree(root)
        self.product_count = self._source.product_count

    @property
    def columns(self) -> Mapping[str, str]:
        """What each known field and attribute was read from: name -> header, in the order of our names."""
        return self._source.headers

    def __iter__(self) -> Iterator[CatalogRow | RowProblem]:
        return iter(self._source)


def product_id(text: str) -> str:
    """`text` itself where it can be a product's id: 1 to 128 of `A-Z a-z 0-9 . _ ~ -`.

    Of anything else the usable parts, joined by hyphens, with the first twelve digits of its SHA-256 behind
    them: the same text has the same id in every run, and two texts do not share one.
    """
    if _PRODUCT_ID.fullmatch(text):
        return text
    readable = re.sub(r"[^A-Za-z0-9._~]+", "-", text).strip("-")[:100]
    return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:12]}".lstrip("-")


class _Table:
    """A table and its photos."""

    def __init__(self, path: Path, chosen: Mapping[str, str]) -> None:
        self._path = path
        self._root = path.parent
        self._encoding = _encoding(path)
        self._delimiter, headers = self._header()
        self._width = len(headers)
        self._columns = columns.assign(headers, chosen)
        self.headers = {name: headers[index] for name, index in self._columns.items()}
        if not {"id", "image"} & self._columns.keys():
            raise InvalidArgument("folder", f"{path} has neither a column of ids nor one of images")
        self._attributes = {
            name: index
            for name, index in self._columns.items()
            if name not in {"id", "image", "title", "description", "price", "attributes"}
        }
        self._kinds: dict[str, Kind] = {}
        self._first: dict[str, int] = {}
        self._more: dict[str, list[tuple[int, str]]] = {}
        self._survey()
        self.product_count = len(self._first)

    def __iter__(self) -> Iterator[CatalogRow | RowProblem]:
        for number, cells in self._records():
            if isinstance(cells, RowProblem):
                yield cells
                continue
            key = self._key(cells)
            if not key:
                yield RowProblem(number, "id", "the row has neither an id nor an image")
            elif self._first.get(key) == number:
                yield from self._product(number, key, cells)

    def _header(self) -> tuple[str, list[str]]:
        with self._path.open(encoding=self._encoding, errors="replace", newline="") as file:
            line = file.readline(csv.field_size_limit())
        delimiter = max(",;\t|", key=line.count)
        headers = next(csv.reader([line], delimiter=delimiter), [])
        if not headers:
            raise InvalidArgument("folder", f"{self._path} has no header")
        return delimiter, headers

    def _records(self) -> Iterator[tuple[int, list[str] | RowProblem]]:
        """Row number and cells, as many as there are headers, of each row that is not blank."""
        with self._path.open(encoding=self._encoding, errors="replace", newline="") as file:
            reader = csv.reader(file, delimiter=self._delimiter)
            next(reader)
            number = 1
            while True:
                number += 1
                try:
                    cells = next(reader, None)
                except csv.Error as error:
                    yield number, RowProblem(number, "", f"the row cannot be read: {error}")
                    continue
                if cells is None:
                    return
                if any(cell.strip() for cell in cells[self._width :]):
                    yield (
                        number,
                        RowProblem(number, "", f"the row has {len(cells)} cells, the header {self._width}"),
                    )
                elif any(cell.strip() for cell in cells):
                    yield number, cells + [""] * (self._width - len(cells))

    def _survey(self) -> None:
        for number, cells in self._records():
            if isinstance(cells, RowProblem):
                continue
            key = self._key(cells)
            if key in self._first:
                self._more.setdefault(key, []).append((number, self._cell("image", cells)))
            elif key:
                self._first[key] = number
            for name, index in self._attributes.items():
                if self._kinds.get(name) != "text":
                    for value in columns.values(cells[index]):
                        kind = columns.kind_of(name, value)
                        self._kinds[name] = "text" if self._kinds.get(name, kind) != kind else kind

    def _cell(self, name: str, cells: list[str]) -> str:
        index = self._columns.get(name)
        return "" if index is None else cells[index].strip()

    def _key(self, cells: list[str]) -> str:
        """What the row calls its product: its id, else the name of its image."""
        return self._cell("id", cells) or PurePosixPath(_file_name(self._cell("image", cells))).stem

    def _product(self, number: int, key: str, cells: list[str]) -> Iterator[CatalogRow | RowProblem]:
        identifier = product_id(key)
        photos: list[Path] = []
        for row, image in [(number, self._cell("image", cells)), *self._more.get(key, [])]:
            for name in columns.values(image) or [key]:
                photo = self._photo(name)
                if photo is None:
                    yield RowProblem(
                        row, "image", f"there is no photo {name!r} in the folder or its {IMAGES}/", identifier
                    )
                elif len(photos) == MAX_PHOTOS:
                    yield RowProblem(row, "image", f"a product has at most {MAX_PHOTOS} photos", identifier)
                elif photo not in photos:
                    photos.append(photo)
        attributes: dict[str, list[Value]] = {} if identifier == key else {"source_id": [key]}
        try:
            attributes |= self._values(cells)
        except ValueError as error:
            yield RowProblem(number, "price", str(error), identifier)
            return
        for name, given in _members(self._cell("attributes", cells)).items():
            if len(attributes) < columns.MAX_ATTRIBUTES:
                attributes.setdefault(name, given)
        if photos:
            title, description = self._cell("title", cells), self._cell("description", cells)
            yield CatalogRow(identifier, title, description, attributes, photos, number)

    def _values(self, cells: list[str]) -> dict[str, list[Value]]:
        attributes: dict[str, list[Value]] = {}
        for name, index in self._attributes.items():
            if found := columns.values(cells[index]):
                attributes[name] = [columns.typed(self._kinds[name], value) for value in found]
        if price := self._cell("price", cells):
            attributes["price"] = [columns.price(price)]
        return attributes

    def _photo(self, name: str) -> Path | None:
        """The file called `name` under the folder, with or without its suffix; None when there is none."""
        relative = PurePosixPath(_file_name(name) if "://" in name else name.replace("\\", "/"))
        if relative.is_absolute() or ".." in relative.parts or "\0" in name:
            return None
        for directory in (self._root / IMAGES, self._root):
            path = directory / relative
            for candidate in (path, *(path.with_name(path.name + suffix) for suffix in SUFFIXES)):
                # Unlike Path.is_file, this is False and no error for a name that is too long to exist.
                if os.path.isfile(candidate):  # noqa: PTH113
                    return candidate
        return None


class _Tree:
    """Photos without a table."""

    headers: Mapping[str, str] = {}

    def __init__(self, root: Path) -> None:
        self._root = root
        self._photos: dict[str, list[Path]] = {}
        for directory, folders, files in os.walk(root):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files):
                path = Path(directory, name)
                if path.suffix.lower() in SUFFIXES and not name.startswith("."):
                    self._photos.setdefault(path.relative_to(root).with_suffix("").as_posix(), []).append(
                        path
                    )
        if not self._photos:
            raise InvalidArgument("folder", f"{root} has neither {TABLE} nor a photo")
        self.product_count = len(self._photos)

    def __iter__(self) -> Iterator[CatalogRow | RowProblem]:
        for number, (key, photos) in enumerate(self._photos.items(), start=1):
            identifier = product_id(key)
            title = re.sub(r"[\W_]+", " ", PurePosixPath(key).name).strip()
            attributes: dict[str, list[Value]] = {} if identifier == key else {"source_id": [key]}
            yield CatalogRow(identifier, title, "", attributes, photos, number)


def _table_of(root: Path) -> Path | None:
    """`products.csv`, else the only table there is, else None."""
    if (root / TABLE).is_file():
        return root / TABLE
    tables = sorted(
        path
        for path in root.iterdir()
        if path.suffix.lower() == ".csv" and not path.name.startswith(".") and path.is_file()
    )
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables)
        raise InvalidArgument("folder", f"{root} has several tables ({names}): call the right one {TABLE}")
    return tables[0] if tables else None


def _encoding(path: Path) -> str:
    """`utf-8-sig` where the whole file is that, else `cp1252`."""
    with path.open(encoding="utf-8-sig") as file:
        try:
            while file.read(1 << 20):
                pass
        except UnicodeDecodeError:
            return "cp1252"
    return "utf-8-sig"


def _file_name(image: str) -> str:
    """The last part of an image's path or address."""
    path = unquote(urlsplit(image).path) if "://" in image else image
    return PurePosixPath(path.replace("\\", "/")).name


def _members(cell: str) -> dict[str, list[Value]]:
    """The members of a JSON object that are texts, numbers or flags; of anything else nothing."""
    try:
        found = json.loads(cell, parse_int=float)
    except (ValueError, RecursionError):
        return {}
    members: dict[str, list[Value]] = {}
    for header, value in found.items() if isinstance(found, dict) else ():
        if not (name := columns.snake_case(header)):
            continue
        if isinstance(value, str):
            given: list[Value] = [*columns.values(value)]
        elif isinstance(value, bool) or (isinstance(value, float) and math.isfinite(value)):
            given = [value]
        else:
            continue
        if given:
            members[name] = given
    return members

"""A table of products and its photos."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from services.mesh.errors import InvalidArgument
from vitrine.catalogs import columns, photos
from vitrine.catalogs.columns import Choices, Kind, Value
from vitrine.catalogs.records import Cell, cell_text, cell_texts, cell_values, records_of, value_text
from vitrine.catalogs.rows import MAX_PHOTOS, CatalogRow, RowProblem, product_id


class Table:
    """A table, looked through once when made; photos lie in `images/` beside it, beside it, or on the web.

    Addresses of photos that lie nowhere here are given as they are with `fetches`, else each is a problem.
    Raises InvalidArgument where there is neither a column of ids nor one of images, and as `columns.assign`.
    """

    def __init__(self, path: Path, chosen: Choices, *, fetches: bool) -> None:
        self._root = path.parent
        self._fetches = fetches
        self._records = records_of(path)
        headers = self._records.headers
        self._columns = columns.assign(headers, chosen)
        self.headers = {name: headers[index] for name, index in self._columns.items()}
        if not {"id", "image"} & self.headers.keys():
            raise InvalidArgument("folder", f"{path} has neither a column of ids nor one of images")
        self._photo_columns = [index for name, index in self._columns.items() if columns.is_image(name)]
        self._attributes = {
            name: index
            for name, index in self._columns.items()
            if not columns.is_image(name)
            and name not in {"id", "title", "description", "price", "attributes"}
        }
        self._kinds: dict[str, Kind] = {}
        self._first: dict[str, int] = {}
        self._more: dict[str, list[tuple[int, list[str]]]] = {}
        self._survey()
        self.product_count = len(self._first)

    def __iter__(self) -> Iterator[CatalogRow | RowProblem]:
        for number, cells in self._records:
            if isinstance(cells, RowProblem):
                yield cells
                continue
            key = self._key(cells)
            if not key:
                yield RowProblem(number, "id", "the row has neither an id nor an image")
            elif self._first.get(key) == number:
                yield from self._product(number, key, cells)

    def _survey(self) -> None:
        for number, cells in self._records:
            if isinstance(cells, RowProblem):
                continue
            key = self._key(cells)
            if key in self._first:
                self._more.setdefault(key, []).append((number, self._photo_names(cells)))
            elif key:
                self._first[key] = number
            for name, index in self._attributes.items():
                if self._kinds.get(name) != "text":
                    for value in cell_values(cells[index]):
                        kind = columns.kind_of(name, value, is_cell=isinstance(cells[index], str))
                        self._kinds[name] = "text" if self._kinds.get(name, kind) != kind else kind

    def _cell(self, name: str, cells: Sequence[Cell]) -> Cell:
        index = self._columns.get(name)
        return "" if index is None else cells[index]

    def _photo_names(self, cells: Sequence[Cell]) -> list[str]:
        return [name for index in self._photo_columns for name in cell_texts(cells[index])]

    def _key(self, cells: Sequence[Cell]) -> str:
        """What the row calls its product: its id, else the name of its first image."""
        names = self._photo_names(cells)
        return cell_text(self._cell("id", cells)) or (
            PurePosixPath(photos.file_name(names[0])).stem if names else ""
        )

    def _product(self, number: int, key: str, cells: Sequence[Cell]) -> Iterator[CatalogRow | RowProblem]:
        identifier = product_id(key)
        files: list[Path] = []
        addresses: list[str] = []
        for row, names in [(number, self._photo_names(cells)), *self._more.get(key, [])]:
            for name in names or [key]:
                photo = self._photo(name)
                if photo is None:
                    message = f"there is no photo {name!r} in the folder or its {photos.IMAGES}/"
                    yield RowProblem(row, "image", message, identifier)
                elif photo in files or photo in addresses:
                    pass
                elif len(files) + len(addresses) == MAX_PHOTOS:
                    yield RowProblem(row, "image", f"a product has at most {MAX_PHOTOS} photos", identifier)
                elif isinstance(photo, Path):
                    files.append(photo)
                else:
                    addresses.append(photo)
        attributes: dict[str, list[Value]] = {} if identifier == key else {"source_id": [key]}
        try:
            attributes |= self._values(cells)
        except ValueError as error:
            yield RowProblem(number, "price", str(error), identifier)
            return
        for name, given in _members(cell_text(self._cell("attributes", cells))).items():
            if len(attributes) < columns.MAX_ATTRIBUTES:
                attributes.setdefault(name, given)
        if files or addresses:
            title, description = (
                cell_text(self._cell("title", cells)),
                cell_text(self._cell("description", cells)),
            )
            yield CatalogRow(identifier, title, description, attributes, files, number, addresses)

    def _values(self, cells: Sequence[Cell]) -> dict[str, list[Value]]:
        attributes: dict[str, list[Value]] = {}
        for name, index in self._attributes.items():
            if found := cell_values(cells[index]):
                attributes[name] = [columns.typed(self._kinds[name], value_text(value)) for value in found]
        if price := cell_text(self._cell("price", cells)):
            attributes["price"] = [columns.price(price)]
        return attributes

    def _photo(self, name: str) -> Path | str | None:
        found = photos.find(self._root, name)
        if found is None and self._fetches and photos.is_fetchable(name):
            return name
        return found


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

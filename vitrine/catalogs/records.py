"""Tables as records of cells: CSV and its relatives, and JSON Lines."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from services.mesh.errors import InvalidArgument
from vitrine.catalogs import columns
from vitrine.catalogs.columns import Value
from vitrine.catalogs.rows import RowProblem

CSV_SUFFIXES = (".csv", ".tsv", ".tab")
JSON_SUFFIXES = (".jsonl", ".ndjson")

MAX_LINE_BYTES = 4 << 20
# What an object may have in one another, and all objects of a file together.
MAX_DEPTH = 8
MAX_HEADERS = 1_000

# Text that is still to be read, in which `|` separates values; or values that JSON knows the kinds of.
Cell = str | list[Value]


class Records(Protocol):
    """A table: its header, and each of its rows that is not blank, by number, with a cell a header."""

    headers: Sequence[str]

    def __iter__(self) -> Iterator[tuple[int, Sequence[Cell] | RowProblem]]:
        """From the first row on, each time."""
        ...


def records_of(path: Path) -> Records:
    """The records of a file, by its suffix. Raises InvalidArgument where there is no header."""
    return JsonRecords(path) if path.suffix.lower() in JSON_SUFFIXES else CsvRecords(path)


class CsvRecords:
    """A table in UTF-8, or else read as Windows-1252.

    Cells are separated by whichever of `,` `;` tab and `|` the header has most of.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._encoding = _encoding(path)
        with path.open(encoding=self._encoding, errors="replace", newline="") as file:
            line = file.readline(csv.field_size_limit())
        self._delimiter = max(",;\t|", key=line.count)
        self.headers: Sequence[str] = next(csv.reader([line], delimiter=self._delimiter), [])
        if not self.headers:
            raise InvalidArgument("folder", f"{path} has no header")

    def __iter__(self) -> Iterator[tuple[int, Sequence[Cell] | RowProblem]]:
        width = len(self.headers)
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
                if any(cell.strip() for cell in cells[width:]):
                    message = f"the row has {len(cells)} cells, the header {width}"
                    yield number, RowProblem(number, "", message)
                elif any(cell.strip() for cell in cells):
                    yield number, cells + [""] * (width - len(cells))


class JsonRecords:
    """One JSON object a line, in UTF-8.

    The header is made of the names in all objects, in the order in which they come. What lies in an object in
    an object is called `outer.inner`, but what lies in `attributes` by its own name. A list has several
    values; of objects in a list each gives its part of them.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        headers: dict[str, None] = {}
        for _, found in self._objects():
            if isinstance(found, dict):
                headers |= dict.fromkeys(found)
        self.headers: Sequence[str] = list(headers)[:MAX_HEADERS]
        if not headers:
            raise InvalidArgument("folder", f"{path} has no JSON object with anything in it")

    def __iter__(self) -> Iterator[tuple[int, Sequence[Cell] | RowProblem]]:
        for number, found in self._objects():
            if isinstance(found, RowProblem):
                yield number, found
            elif found:
                yield number, [found.get(header, []) for header in self.headers]

    def _objects(self) -> Iterator[tuple[int, dict[str, list[Value]] | RowProblem]]:
        for number, line in self._lines():
            if line is None:
                message = f"the line has more than {MAX_LINE_BYTES} bytes"
                yield number, RowProblem(number, "", message)
                continue
            if not line.strip():
                continue
            try:
                # A byte order mark may stand before the first.
                found = json.loads(line.decode("utf-8-sig"))
            except (ValueError, RecursionError):
                found = None
            if isinstance(found, dict):
                values: dict[str, list[Value]] = {}
                for name, value in found.items():
                    is_envelope = name == "attributes" and isinstance(value, dict)
                    _flatten("" if is_envelope else name, value, values, MAX_DEPTH)
                yield number, values
            else:
                yield number, RowProblem(number, "", "the line is no JSON object")

    def _lines(self) -> Iterator[tuple[int, bytes | None]]:
        """Lines by number; None for one that is too long, which is not kept in memory."""
        with self._path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                is_too_long = len(line) > MAX_LINE_BYTES
                while is_too_long and line and not line.endswith(b"\n"):
                    line = file.readline(MAX_LINE_BYTES)
                yield number, None if is_too_long else line


def _flatten(name: str, value: Any, into: dict[str, list[Value]], depth: int) -> None:
    """Add the values of a member of an object. What has no value, or lies too deep, is left out."""
    if isinstance(value, dict):
        for inner, each in value.items() if depth else ():
            _flatten(f"{name}.{inner}" if name else inner, each, into, depth - 1)
    elif isinstance(value, list):
        for each in value if depth else ():
            _flatten(name, each, into, depth - 1)
    elif isinstance(value, str):
        if text := value.strip():
            into.setdefault(name, []).append(text)
    elif isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        into.setdefault(name, []).append(value)


def cell_values(cell: Cell) -> list[Value]:
    """The values in a cell."""
    return [*columns.values(cell)] if isinstance(cell, str) else cell


def cell_texts(cell: Cell) -> list[str]:
    """The same as texts."""
    return [value_text(value) for value in cell_values(cell)]


def cell_text(cell: Cell) -> str:
    """A cell as one text: all of it, or the first of its values."""
    if isinstance(cell, str):
        return cell.strip()
    return value_text(cell[0]) if cell else ""


def value_text(value: Value) -> str:
    """A value as people write it: `12` and not `12.0`."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if value == int(value) else repr(value)


def _encoding(path: Path) -> str:
    """`utf-8-sig` where the whole file is that, else `cp1252`."""
    with path.open(encoding="utf-8-sig") as file:
        try:
            while file.read(1 << 20):
                pass
        except UnicodeDecodeError:
            return "cp1252"
    return "utf-8-sig"

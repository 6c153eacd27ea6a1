"""What is known of products, as one dictionary-coded column an attribute.

A column codes every distinct value, so any test of values is a table over the codes, and testing all
products is one lookup in it. Products are addressed by their slot, a small number that
`services.vectorsearch.rows` gives them.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from services.vectorsearch import number_ranges

Value = str | float | bool
Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int32]
Slots = npt.NDArray[np.int64]

# Attributes beyond these are not searchable in a catalogue, and filters on them are answered as unknown.
MAX_COLUMNS = 1024

# Filter attributes with this prefix address what models inferred; no stated attribute can have a dot in its
# name.
INFERRED = "inferred."


@dataclass(frozen=True, slots=True)
class Facts:
    """What a shard knows of a product besides its vectors."""

    # As the shop states: name -> values.
    attributes: Mapping[str, Sequence[Value]] = field(default_factory=dict)
    # As models inferred: name -> (value, probability).
    labels: Mapping[str, tuple[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Labels:
    """One property of some products: int16 codes into `values`, -1 where unknown; float32 probabilities."""

    name: str
    values: list[str]
    codes: npt.NDArray[np.int16]
    probabilities: npt.NDArray[np.float32]


class Column:
    """The values of one attribute: up to several a product."""

    def __init__(self) -> None:
        self._values: list[Value | None] = []
        self._code_of: dict[tuple[type, Value], int] = {}
        self._uses: list[int] = []
        self._free: list[int] = []
        # The values that are numbers, NaN for others, for range tests.
        self._numbers: npt.NDArray[np.float64] = np.full(8, np.nan)
        # Level j holds the code of each slot's j-th value, or -1; most attributes need one level.
        self._levels: list[Codes] = [np.full(8, -1, dtype=np.int32)]
        self._probabilities: npt.NDArray[np.float32] = np.ones(8, dtype=np.float32)

    def put(self, slot: int, values: Iterable[Value], probability: float = 1.0) -> None:
        """Give the product in `slot` these values in place of those it had."""
        codes = [self._use(value) for value in dict.fromkeys((type(value), value) for value in values)]
        self.clear(slot)
        while len(self._levels) < len(codes):
            self._levels.append(np.full(8, -1, dtype=np.int32))
        for number, code in enumerate(codes):
            self._levels[number] = _reaching(self._levels[number], slot, -1)
            self._levels[number][slot] = code
        self._probabilities = _reaching(self._probabilities, slot, 1)
        self._probabilities[slot] = probability

    def clear(self, slot: int) -> None:
        """Take all values from the product in `slot`."""
        for level in self._levels:
            if slot >= len(level) or level[slot] < 0:
                return
            self._release(int(level[slot]))
            level[slot] = -1

    def any_of(self, values: Iterable[Value], size: int) -> Mask:
        """Bool [size]: slots with any of these values. A number never equals a flag or a text."""
        table = self._table()
        for value in values:
            code = self._code_of.get((type(value), value))
            if code is not None:
                table[code] = True
        return self._lookup(table, size)

    def between(self, minimum: float, maximum: float, size: int) -> Mask:
        """Bool [size]: slots with a number in the closed range."""
        table = self._table()
        numbers = self._numbers[: len(self._values)]
        table[:-1] = (numbers >= minimum) & (numbers <= maximum)
        return self._lookup(table, size)

    def exists(self, size: int) -> Mask:
        """Bool [size]: slots with any value at all."""
        table = self._table()
        table[:-1] = True
        return self._lookup(table, size)

    def counts(self, passing: Mask, limit: int) -> list[tuple[Value, int]]:
        """The most frequent values among the slots of `passing`, with the number of slots; ties by value."""
        totals: npt.NDArray[np.int64] = np.zeros(len(self._values) + 1, dtype=np.int64)
        for level in self._levels:
            reach = min(len(level), len(passing))
            totals += np.bincount(level[:reach][passing[:reach]] + 1, minlength=len(totals))
        found = [
            (value, count)
            for value, count in zip(self._values, totals[1:].tolist(), strict=True)
            if value is not None
        ]
        return heapq.nsmallest(
            limit,
            (pair for pair in found if pair[1]),
            key=lambda pair: (-pair[1], type(pair[0]).__name__, pair[0]),
        )

    def ranges(self, passing: Mask) -> list[tuple[float, float, int]]:
        """How the numbers of the slots of `passing` are spread: ends of ranges, and the number of slots.

        The smallest range first, none that is empty; see `services.vectorsearch.number_ranges`.
        """
        numbers = self._numbers[: len(self._values)]
        is_number = ~np.isnan(numbers)
        if not is_number.any():
            return []
        # One more entry, for the code -1; it and what is no number have no place.
        table: number_ranges.Places = np.full(len(numbers) + 1, -1, dtype=np.int16)
        table[:-1][is_number] = number_ranges.places_of(numbers[is_number])
        places: number_ranges.Places = np.full((len(self._levels), int(passing.sum())), -1, dtype=np.int16)
        for row, level in zip(places, self._levels, strict=True):
            reach = min(len(level), len(passing))
            # A level that ends before others has the first of the slots.
            its = table[level[:reach][passing[:reach]]]
            row[: len(its)] = its
        # Of a slot's numbers in one range the first counts: equal ones are neighbours once they are in order.
        places.sort(axis=0)
        counts = places >= 0
        counts[1:] &= places[1:] != places[:-1]
        totals = np.bincount(places[counts], minlength=1)
        found = np.flatnonzero(totals)
        return [
            (*number_ranges.ends_of(place), count)
            for place, count in zip(found.tolist(), totals[found].tolist(), strict=True)
        ]

    def first(self, slots: Slots) -> tuple[Codes, npt.NDArray[np.float32]]:
        """The code of each slot's first value, or -1, and its probability."""
        reach = len(self._levels[0])
        inside = np.minimum(slots, reach - 1)
        codes = np.where(slots < reach, self._levels[0][inside], np.int32(-1))
        return codes, self._probabilities[np.minimum(slots, len(self._probabilities) - 1)]

    def ranked(self, codes: Codes, start: int) -> tuple[list[Value], Codes]:
        """The distinct values of codes in use, and the codes as places in that list, counted from `start`."""
        used: Mask = np.zeros(len(self._values), dtype=np.bool_)
        used[codes] = True
        distinct = np.flatnonzero(used)
        place: Codes = np.empty(len(used), dtype=np.int32)
        place[distinct] = np.arange(start, start + len(distinct))
        return [self._value(code) for code in distinct.tolist()], place[codes]

    def freeze(self) -> tuple[list[Value | None], dict[str, npt.NDArray[Any]]]:
        """A copy: the values by code, and arrays."""
        return list(self._values), {
            "probabilities": self._probabilities.copy(),
            **{f"level.{number}": level.copy() for number, level in enumerate(self._levels)},
        }

    @classmethod
    def thaw(cls, values: Sequence[Value | None], arrays: Mapping[str, npt.NDArray[Any]]) -> Column:
        """The column that was frozen."""
        column = cls()
        column._values = list(values)
        column._code_of = {
            (type(value), value): code for code, value in enumerate(values) if value is not None
        }
        column._free = [code for code, value in enumerate(values) if value is None]
        column._probabilities = arrays["probabilities"].copy()
        column._levels = [arrays[f"level.{number}"].copy() for number in range(len(arrays) - 1)]
        column._numbers = np.array(
            [value if _is_number(value) else np.nan for value in values] or [np.nan], dtype=np.float64
        )
        uses = sum(np.bincount(level + 1, minlength=len(values) + 1) for level in column._levels)
        column._uses = np.asarray(uses)[1:].tolist()
        return column

    def _table(self) -> Mask:
        # One more entry, always False: the code -1 of slots without a value looks it up.
        return np.zeros(len(self._values) + 1, dtype=np.bool_)

    def _value(self, code: int) -> Value:
        value = self._values[code]
        assert value is not None
        return value

    def _lookup(self, table: Mask, size: int) -> Mask:
        mask: Mask = np.zeros(size, dtype=np.bool_)
        for level in self._levels:
            reach = min(len(level), size)
            mask[:reach] |= table[level[:reach]]
        return mask

    def _use(self, key: tuple[type, Value]) -> int:
        code = self._code_of.get(key)
        if code is None:
            if self._free:
                code = self._free.pop()
            else:
                code = len(self._values)
                self._values.append(None)
                self._uses.append(0)
                self._numbers = _reaching(self._numbers, code, np.nan)
            self._code_of[key] = code
            self._values[code] = key[1]
            self._numbers[code] = key[1] if _is_number(key[1]) else np.nan
        self._uses[code] += 1
        return code

    def _release(self, code: int) -> None:
        self._uses[code] -= 1
        if not self._uses[code]:
            value = self._value(code)
            del self._code_of[type(value), value]
            self._values[code] = None
            self._numbers[code] = np.nan
            self._free.append(code)


class Columns:
    """The columns of a catalogue. One that ever had a value stays known."""

    def __init__(self) -> None:
        self._columns: dict[str, Column] = {}

    def get(self, name: str) -> Column | None:
        """The column of an attribute, or of `inferred.<label>`; None when no product ever had it."""
        return self._columns.get(name)

    def put(self, slot: int, facts: Facts) -> None:
        """Let `facts` be all that is known of the product in `slot`."""
        columns = {name: (values, 1.0) for name, values in facts.attributes.items() if values}
        columns |= {
            f"{INFERRED}{name}": ([value], probability) for name, (value, probability) in facts.labels.items()
        }
        for name, column in self._columns.items():
            if name not in columns:
                column.clear(slot)
        for name, (values, probability) in columns.items():
            if name not in self._columns and len(self._columns) < MAX_COLUMNS:
                self._columns[name] = Column()
            if name in self._columns:
                self._columns[name].put(slot, values, probability)

    def clear(self, slot: int) -> None:
        """Forget what is known of the product in `slot`."""
        for column in self._columns.values():
            column.clear(slot)

    def labels(self, name: str, slots: Slots) -> Labels:
        """What is known of a property: the first value stated (probability 1), else the inferred one."""
        codes: Codes = np.full(len(slots), -1, dtype=np.int32)
        probabilities: npt.NDArray[np.float32] = np.zeros(len(slots), dtype=np.float32)
        texts: list[str] = []
        for column in (self._columns.get(name), self._columns.get(f"{INFERRED}{name}")):
            if column is None:
                continue
            its_codes, its_probabilities = column.first(slots)
            wanted = (codes < 0) & (its_codes >= 0)
            if not wanted.any():
                continue
            distinct, codes[wanted] = column.ranked(its_codes[wanted], len(texts))
            probabilities[wanted] = its_probabilities[wanted]
            texts += [text_of(value) for value in distinct]
        # A value both stated of one product and inferred of another is one value.
        values = list(dict.fromkeys(texts))
        place = {text: number for number, text in enumerate(values)}
        merged = np.array([*(place[text] for text in texts), -1], dtype=np.int16)
        return Labels(name, values, merged[codes], probabilities)

    def knows_label(self, name: str) -> bool:
        """Whether any product ever had the property, stated or inferred."""
        return name in self._columns or f"{INFERRED}{name}" in self._columns

    def freeze(self) -> tuple[list[dict[str, Any]], dict[str, npt.NDArray[Any]]]:
        """A copy: name and values of each column, and arrays."""
        meta: list[dict[str, Any]] = []
        arrays: dict[str, npt.NDArray[Any]] = {}
        for number, (name, column) in enumerate(self._columns.items()):
            values, its_arrays = column.freeze()
            meta.append({"name": name, "values": values})
            arrays |= {f"{number}.{key}": array for key, array in its_arrays.items()}
        return meta, arrays

    @classmethod
    def thaw(cls, meta: Sequence[Mapping[str, Any]], arrays: Mapping[str, npt.NDArray[Any]]) -> Columns:
        """The columns that were frozen."""
        columns = cls()
        for number, entry in enumerate(meta):
            prefix = f"{number}."
            its_arrays = {
                key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)
            }
            columns._columns[entry["name"]] = Column.thaw(entry["values"], its_arrays)
        return columns


def text_of(value: Value) -> str:
    """A value in words, as label columns have it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    # Fifteen digits are all that any double keeps: numbers that are ids stay apart, and .1 stays .1.
    return value if isinstance(value, str) else f"{value:.15g}"


def _is_number(value: Value | None) -> bool:
    return isinstance(value, float)


def _reaching(array: npt.NDArray[Any], place: int, fill: float) -> npt.NDArray[Any]:
    """`array` itself, or a longer copy filled up with `fill`, such that it has `place`."""
    if place < len(array):
        return array
    longer = np.full(max(place + 1, 2 * len(array)), fill, dtype=array.dtype)
    longer[: len(array)] = array
    return longer

"""The rows of a catalogue as they were at one moment, and that as arrays for a file.

Of a segment nothing changes but which rows are alive, so holding a moment fast copies no vector. Full
segments are stored once, apart from what changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from services.vectorsearch.columns import Columns, Mask, Value
from services.vectorsearch.kernels import Floats
from services.vectorsearch.rows import CatalogRows, Product, Space
from services.vectorsearch.segment import Segment
from services.vectorsearch.storage.blocks import Arrays

# Whether a column has a value under a code, and of which type.
_NONE, _TEXT, _NUMBER, _FLAG = range(4)

_COLUMN = "column."


@dataclass(frozen=True, slots=True)
class FrozenSegment:
    """The first `size` rows of a segment, which do not change, and a copy of which of them were `alive`."""

    segment: Segment
    size: int
    alive: Mask
    # By space. Dictionaries of their own, since a segment that grows can get more spaces.
    matrices: Mapping[str, Floats]
    present: Mapping[str, Mask]

    @property
    def full(self) -> bool:
        """Whether all that will ever be in the segment is."""
        return self.size == self.segment.capacity


@dataclass(frozen=True, slots=True)
class FrozenRows:
    """What `CatalogRows` were. Products by number: id, int32 slot, int64 revision."""

    segments: Sequence[FrozenSegment]
    spaces: Mapping[str, Space]
    # As Columns.freeze has it.
    columns: tuple[list[dict[str, Any]], Arrays]
    product_ids: Sequence[str]
    slots: npt.NDArray[np.int32]
    revisions: npt.NDArray[np.int64]
    slot_count: int
    next_row: int
    most_photos: int


def freeze(rows: CatalogRows) -> FrozenRows:
    """What the rows are. For the writer alone; takes about 0.1 ms a thousand products."""
    products = rows.products.values()
    return FrozenRows(
        [
            FrozenSegment(
                segment,
                segment.size,
                segment.alive[: segment.size].copy(),
                dict(segment.matrices),
                dict(segment.present),
            )
            for segment in rows.segments
        ],
        dict(rows.spaces),
        rows.columns.freeze(),
        list(rows.products),
        np.fromiter((product.slot for product in products), np.int32, len(products)),
        np.fromiter((product.revision for product in products), np.int64, len(products)),
        len(rows.product_ids),
        rows.next_row,
        rows.most_photos,
    )


def thaw(frozen: FrozenRows, rows: CatalogRows) -> None:
    """Let `rows`, new ones, be what was frozen. Its segments are theirs from then on."""
    products = zip(frozen.product_ids, frozen.slots.tolist(), frozen.revisions.tolist(), strict=True)
    rows.restore(
        segments=[frozen_segment.segment for frozen_segment in frozen.segments],
        spaces=dict(frozen.spaces),
        columns=Columns.thaw(*frozen.columns),
        products={product_id: Product(slot, revision, []) for product_id, slot, revision in products},
        slot_count=frozen.slot_count,
        next_row=frozen.next_row,
        most_photos=frozen.most_photos,
    )


def arrays_of_segment(frozen: FrozenSegment) -> Arrays:
    """The rows of a segment, but for whether they are alive."""
    size = frozen.size
    arrays: Arrays = {
        "slots": frozen.segment.slots[:size],
        **_text_arrays("photo_ids", frozen.segment.photo_ids[:size]),
    }
    for space, matrix in frozen.matrices.items():
        arrays[f"present.{space}"] = frozen.present[space][:size]
        arrays[f"matrix.{space}"] = matrix[:size]
    return arrays


def segment_of(arrays: Arrays, alive: Mask, *, first_row: int, capacity: int) -> FrozenSegment:
    """The segment that `arrays_of_segment` was asked about.

    A full one uses the arrays as they are, which may be read-only; one that grows has its own.
    """
    size = len(alive)

    def of_full_size(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if size == capacity:
            return array
        longer = np.zeros((capacity, *array.shape[1:]), dtype=array.dtype)
        longer[:size] = array
        return longer

    segment = Segment(first_row, capacity)
    segment.size = size
    segment.live = int(alive.sum())
    segment.alive[:size] = alive
    segment.slots = of_full_size(arrays["slots"])
    segment.photo_ids = _texts(arrays, "photo_ids")
    for name, array in arrays.items():
        kind, _, space = name.partition(".")
        if kind == "matrix":
            segment.matrices[space] = of_full_size(array)
            segment.present[space] = of_full_size(arrays[f"present.{space}"])
    return FrozenSegment(segment, size, alive, segment.matrices, segment.present)


def arrays_of_rows(frozen: FrozenRows) -> tuple[dict[str, Any], Arrays]:
    """All but the segments: what JSON can hold, and arrays."""
    columns, column_arrays = frozen.columns
    arrays: Arrays = {
        **_text_arrays("product_ids", frozen.product_ids),
        "slots": frozen.slots,
        "revisions": frozen.revisions,
        **_value_arrays([value for column in columns for value in column["values"]]),
        **{f"{_COLUMN}{name}": array for name, array in column_arrays.items()},
    }
    meta = {
        "spaces": {name: [space.model_digest, space.dimension] for name, space in frozen.spaces.items()},
        "columns": [[column["name"], len(column["values"])] for column in columns],
        "slot_count": frozen.slot_count,
        "next_row": frozen.next_row,
        "most_photos": frozen.most_photos,
    }
    return meta, arrays


def rows_of(meta: Mapping[str, Any], arrays: Arrays, segments: Sequence[FrozenSegment]) -> FrozenRows:
    """What `arrays_of_rows` was asked about."""
    values = iter(_values(arrays))
    columns = [{"name": name, "values": list(islice(values, count))} for name, count in meta["columns"]]
    column_arrays = {
        name.removeprefix(_COLUMN): array for name, array in arrays.items() if name.startswith(_COLUMN)
    }
    return FrozenRows(
        segments,
        {name: Space(digest, dimension) for name, (digest, dimension) in meta["spaces"].items()},
        (columns, column_arrays),
        _texts(arrays, "product_ids"),
        arrays["slots"],
        arrays["revisions"],
        meta["slot_count"],
        meta["next_row"],
        meta["most_photos"],
    )


def _value_arrays(values: Sequence[Value | None]) -> Arrays:
    kinds = np.fromiter((_kind(value) for value in values), np.uint8, len(values))
    numbers = (0.0 if value is None or isinstance(value, str) else float(value) for value in values)
    return {
        "value_kinds": kinds,
        "value_numbers": np.fromiter(numbers, np.float64, len(values)),
        **_text_arrays("value_texts", [value if isinstance(value, str) else "" for value in values]),
    }


def _kind(value: Value | None) -> int:
    match value:
        case None:
            return _NONE
        case str():
            return _TEXT
        case bool():
            return _FLAG
        case _:
            return _NUMBER


def _values(arrays: Arrays) -> list[Value | None]:
    return [
        (None, text, number, bool(number))[kind]
        for kind, text, number in zip(
            arrays["value_kinds"].tolist(),
            _texts(arrays, "value_texts"),
            arrays["value_numbers"].tolist(),
            strict=True,
        )
    ]


def _text_arrays(name: str, texts: Sequence[str]) -> Arrays:
    """All texts in one, and how many characters each has: many times as quick to read as one by one."""
    whole = "".join(texts).encode("utf-8", "surrogatepass")
    return {
        f"{name}.utf8": np.frombuffer(whole, dtype=np.uint8),
        f"{name}.lengths": np.fromiter(map(len, texts), np.int32, len(texts)),
    }


def _texts(arrays: Arrays, name: str) -> list[str]:
    whole = arrays[f"{name}.utf8"].tobytes().decode("utf-8", "surrogatepass")
    ends = np.cumsum(arrays[f"{name}.lengths"], dtype=np.int64).tolist()
    return [whole[start:end] for start, end in zip([0, *ends], ends, strict=False)]

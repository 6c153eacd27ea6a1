"""The rows of one catalogue in one generation."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.mesh.errors import FailedPrecondition, InvalidArgument
from services.vectorsearch.changes import Photo
from services.vectorsearch.columns import Columns, Facts, Mask
from services.vectorsearch.kernels import Floats
from services.vectorsearch.segment import NOBODY, Segment

# Rows a segment: 64 MiB of 2048-d vectors.
SEGMENT_ROWS = 8192


@dataclass(frozen=True, slots=True)
class Space:
    """What all vectors of one space have in common here; settled by the first that comes."""

    model_digest: str
    dimension: int


@dataclass(slots=True)
class Product:
    """A product that is held: its slot in the columns, the revision of its last write, and its rows."""

    slot: int
    revision: int
    rows: list[tuple[Segment, int]]


@dataclass(frozen=True, slots=True)
class FrozenRows:
    """The state of a catalogue: what JSON can say, and arrays. Later changes do not touch it."""

    meta: dict[str, Any]
    arrays: dict[str, npt.NDArray[Any]]


class CatalogRows:
    """Photos as rows in segments, products as slots in columns.

    Not locked here: `services.vectorsearch.shard` says who may call what when.
    """

    def __init__(self, *, segment_rows: int = SEGMENT_ROWS) -> None:
        self._segment_rows = segment_rows
        self.segments: list[Segment] = []
        self.spaces: dict[str, Space] = {}
        self.columns = Columns()
        self.products: dict[str, Product] = {}
        # Product id by slot; an empty one for nobody and for slots that wait to be used again.
        self.product_ids: list[str] = [""]
        self._free_slots: list[int] = []
        self._searchable: Mask = np.zeros(64, dtype=np.bool_)

    @property
    def searchable(self) -> Mask:
        """Bool [slots]: those of products with a photo. A view."""
        return self._searchable[: len(self.product_ids)]

    @property
    def row_count(self) -> int:
        """Photos held."""
        return sum(segment.live for segment in self.segments)

    @property
    def vector_bytes(self) -> int:
        """Bytes of the vectors in memory, of rows without a product too."""
        return sum(
            segment.size * matrix.shape[1] * matrix.itemsize
            for segment in self.segments
            for matrix in segment.matrices.values()
        )

    def check(self, photos: tuple[Photo, ...]) -> None:
        """Look whether these can be compared with the rows.

        Raises FailedPrecondition (MODEL_MISMATCH) for another model, InvalidArgument for another dimension.
        """
        spaces = dict(self.spaces)
        for photo in photos:
            for name, embedding in photo.embeddings.items():
                its = Space(embedding.model_digest, len(embedding.vector))
                space = spaces.setdefault(name, its)
                if its.model_digest != space.model_digest:
                    raise FailedPrecondition(
                        f"{name} rows are of model {space.model_digest[:12]}, not {its.model_digest[:12]}",
                        reason="MODEL_MISMATCH",
                    )
                if its.dimension != space.dimension:
                    raise InvalidArgument(
                        name, f"{its.dimension} dimensions where {space.dimension} are expected"
                    )

    def write(self, product_id: str, revision: int, photos: tuple[Photo, ...], facts: Facts) -> None:
        """Hold a product with these photos in place of what was held of it.

        Raises as `check` does, and changes nothing then.
        """
        self.check(photos)
        for photo in photos:
            for name, embedding in photo.embeddings.items():
                self.spaces.setdefault(name, Space(embedding.model_digest, len(embedding.vector)))
        product = self.products.get(product_id)
        if product is None:
            product = self.products[product_id] = Product(self._take_slot(product_id), revision, [])
        self._drop_rows(product)
        product.revision = revision
        product.rows = [
            self._append(
                product.slot,
                photo.photo_id,
                {name: embedding.vector for name, embedding in photo.embeddings.items()},
            )
            for photo in photos
        ]
        self._searchable[product.slot] = bool(photos)
        self.columns.put(product.slot, facts)

    def describe(self, product_id: str, revision: int, facts: Facts) -> None:
        """Replace what is known of a product that is held."""
        product = self.products[product_id]
        product.revision = revision
        self.columns.put(product.slot, facts)

    def delete(self, product_id: str) -> None:
        """Hold a product no longer."""
        product = self.products.pop(product_id)
        self._drop_rows(product)
        self.columns.clear(product.slot)
        self.product_ids[product.slot] = ""
        self._searchable[product.slot] = False
        self._free_slots.append(product.slot)

    @property
    def sparse(self) -> list[Segment]:
        """The segments that are to be compacted."""
        return [segment for segment in self.segments if segment.sparse]

    def compact(self, sparse: Segment, products_at_most: int) -> bool:
        """Do a part of getting rid of a segment that is sparse; whether it is gone.

        Products leave it with all their rows for the growing segment, and then it is let go. The catalogue
        is whole after every part, so searches may run in between.
        """
        owners = dict.fromkeys(sparse.slots[sparse.slots != NOBODY].tolist())
        for slot in list(owners)[:products_at_most]:
            product = self.products[self.product_ids[slot]]
            old = product.rows
            product.rows = [
                self._append(slot, segment.photo_ids[row], segment.vectors(row)) for segment, row in old
            ]
            for segment, row in old:
                segment.drop(row)
        if sparse.live:
            return False
        self.segments.remove(sparse)
        return True

    def freeze(self) -> FrozenRows:
        """A copy of everything but the vectors, which are views: rows that were appended never change."""
        columns_meta, column_arrays = self.columns.freeze()
        revisions: npt.NDArray[np.int64] = np.zeros(len(self.product_ids), dtype=np.int64)
        for product in self.products.values():
            revisions[product.slot] = product.revision
        arrays: dict[str, npt.NDArray[Any]] = {"revisions": revisions}
        arrays |= {f"column.{key}": array for key, array in column_arrays.items()}
        segments = []
        for number, segment in enumerate(self.segments):
            segments.append({"photo_ids": list(segment.photo_ids), "spaces": list(segment.matrices)})
            arrays[f"segment.{number}.slots"] = segment.slots[: segment.size].copy()
            for name, matrix in segment.matrices.items():
                arrays[f"segment.{number}.present.{name}"] = segment.present[name][: segment.size].copy()
                arrays[f"segment.{number}.matrix.{name}"] = matrix[: segment.size]
        meta = {
            "segment_rows": self._segment_rows,
            "product_ids": list(self.product_ids),
            "spaces": {name: [space.model_digest, space.dimension] for name, space in self.spaces.items()},
            "columns": columns_meta,
            "segments": segments,
        }
        return FrozenRows(meta, arrays)

    @classmethod
    def thaw(cls, frozen: FrozenRows) -> CatalogRows:
        """The catalogue that was frozen."""
        meta, arrays = frozen.meta, frozen.arrays
        rows = cls(segment_rows=meta["segment_rows"])
        rows.spaces = {name: Space(digest, dimension) for name, (digest, dimension) in meta["spaces"].items()}
        prefix = "column."
        rows.columns = Columns.thaw(
            meta["columns"],
            {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)},
        )
        rows.product_ids = list(meta["product_ids"])
        rows._searchable = np.zeros(len(rows.product_ids), dtype=np.bool_)
        for slot, product_id in enumerate(rows.product_ids[1:], start=1):
            if product_id:
                rows.products[product_id] = Product(slot, int(arrays["revisions"][slot]), [])
            else:
                rows._free_slots.append(slot)
        for number, entry in enumerate(meta["segments"]):
            rows.segments.append(rows._thaw_segment(entry, f"segment.{number}.", arrays))
        return rows

    def missing_from(self, product_ids: AbstractSet[str]) -> list[str]:
        """The products held that are not among these."""
        return [product_id for product_id in self.products if product_id not in product_ids]

    def _take_slot(self, product_id: str) -> int:
        if self._free_slots:
            slot = self._free_slots.pop()
            self.product_ids[slot] = product_id
            return slot
        slot = len(self.product_ids)
        self.product_ids.append(product_id)
        if slot >= len(self._searchable):
            self._searchable = np.concatenate(
                [self._searchable, np.zeros(len(self._searchable), dtype=np.bool_)]
            )
        return slot

    def _append(self, slot: int, photo_id: str, vectors: Mapping[str, Floats]) -> tuple[Segment, int]:
        if not self.segments or self.segments[-1].full:
            self.segments.append(Segment(self._segment_rows))
        segment = self.segments[-1]
        return segment, segment.append(slot, photo_id, vectors)

    def _drop_rows(self, product: Product) -> None:
        for segment, row in product.rows:
            segment.drop(row)
        product.rows = []

    def _thaw_segment(
        self, entry: Mapping[str, Any], prefix: str, arrays: Mapping[str, npt.NDArray[Any]]
    ) -> Segment:
        segment = Segment(self._segment_rows)
        slots = arrays[f"{prefix}slots"]
        segment.size = len(slots)
        segment.slots[: segment.size] = slots
        segment.live = int(np.count_nonzero(slots != NOBODY))
        segment.photo_ids = list(entry["photo_ids"])
        for name in entry["spaces"]:
            dimension = self.spaces[name].dimension
            segment.matrices[name] = np.zeros((segment.capacity, dimension), dtype=np.float32)
            segment.matrices[name][: segment.size] = arrays[f"{prefix}matrix.{name}"]
            segment.present[name] = np.zeros(segment.capacity, dtype=np.bool_)
            segment.present[name][: segment.size] = arrays[f"{prefix}present.{name}"]
        for row, slot in enumerate(slots.tolist()):
            if slot != NOBODY:
                self.products[self.product_ids[slot]].rows.append((segment, row))
                self._searchable[slot] = True
        return segment

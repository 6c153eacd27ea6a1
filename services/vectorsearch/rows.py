"""The rows of one catalogue in one generation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from services.mesh.errors import FailedPrecondition, InvalidArgument
from services.vectorsearch.changes import Photo
from services.vectorsearch.columns import Columns, Facts, Mask
from services.vectorsearch.first_pass import Precision
from services.vectorsearch.indexes.approximate import ApproximateIndex
from services.vectorsearch.kernels import Floats
from services.vectorsearch.segment import Segment

# Rows a segment: 64 MiB of 2048-d vectors.
SEGMENT_ROWS = 8192

# A full segment is compacted when more than this share of its rows has no product.
MAX_DEAD_SHARE = 0.3


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


class CatalogRows:
    """Photos as rows in segments, products as slots in columns.

    Not locked here: `services.vectorsearch.shard` says who may call what when.
    """

    def __init__(
        self,
        *,
        segment_rows: int = SEGMENT_ROWS,
        precision_of: Callable[[str], Precision] = lambda _space: "flat16",
    ) -> None:
        """`precision_of` tells in what precision the rows of a space are read first."""
        self._segment_rows = segment_rows
        self._precision_of = precision_of
        self._next_row = 0
        # The most photos that a product has had since there are rows.
        self.most_photos = 1
        self.segments: list[Segment] = []
        # Approximate indexes by space. Replaced and never changed.
        self.indexes: Mapping[str, ApproximateIndex] = {}
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
    def dead_rows(self) -> int:
        """Rows that have lost their product and wait to be let go."""
        return sum(segment.dead for segment in self.segments)

    @property
    def live_bytes(self) -> int:
        """Bytes that the vectors of the photos held have at full precision."""
        return sum(
            segment.live * matrix.shape[1] * matrix.itemsize
            for segment in self.segments
            for matrix in segment.matrices.values()
        )

    @property
    def memory_bytes(self) -> int:
        """Bytes of all vectors in memory, of rows without a product and of packs too."""
        return sum(segment.memory_bytes for segment in self.segments)

    @property
    def next_row(self) -> int:
        """The number of the first row of the next segment."""
        return self._next_row

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
        self.most_photos = max(self.most_photos, len(photos))
        product.rows = [
            self._append(
                product.slot,
                product_id,
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

    def pack(self, packers: Executor | None = None) -> None:
        """Pack what was appended, in `packers` if given.

        Searches may go on meanwhile; whoever writes must not.
        """

        def pack(part: tuple[Segment, str]) -> None:
            segment, space = part
            segment.pack(space, self._precision_of(space))

        parts = [(segment, space) for segment in self.segments for space in segment.matrices]
        for _ in packers.map(pack, parts) if packers else map(pack, parts):
            pass

    def sparse(self, most_dead: float = MAX_DEAD_SHARE) -> list[Segment]:
        """The full segments of which more than this share is dead, the deadest first."""
        sparse = [
            segment for segment in self.segments if segment.full and segment.dead > most_dead * segment.size
        ]
        return sorted(sparse, key=lambda segment: segment.live)

    def compact(self, sparse: Segment, products_at_most: int) -> bool:
        """Do a part of getting rid of a full segment; whether it is gone.

        Products leave it with all their rows for the growing segment, and then it is let go. The catalogue
        is whole after every part, so searches may run in between.
        """
        owners = dict.fromkeys(sparse.slots[sparse.alive].tolist())
        for slot in list(owners)[:products_at_most]:
            product_id = self.product_ids[slot]
            product = self.products[product_id]
            old = product.rows
            product.rows = [
                self._append(slot, product_id, segment.photo_ids[row], segment.vectors(row))
                for segment, row in old
            ]
            for segment, row in old:
                segment.drop(row)
        if sparse.live:
            return False
        self.segments.remove(sparse)
        return True

    def missing_from(self, product_ids: AbstractSet[str]) -> list[str]:
        """The products held that are not among these."""
        return [product_id for product_id in self.products if product_id not in product_ids]

    def restore(
        self,
        *,
        segments: list[Segment],
        spaces: dict[str, Space],
        columns: Columns,
        products: dict[str, Product],
        slot_count: int,
        next_row: int,
        most_photos: int,
    ) -> None:
        """Become what rows were that had these. For rows that never held anything.

        The products come without rows: they are found by the slots of the segments' live rows, whose order
        is that of a product's photos. So are the product ids of those rows.
        """
        self.segments = segments
        self.spaces = spaces
        self.columns = columns
        self.products = products
        self._next_row = next_row
        self.most_photos = most_photos
        self.product_ids = [""] * slot_count
        for product_id, product in products.items():
            self.product_ids[product.slot] = product_id
        by_slot = {product.slot: product for product in products.values()}
        self._free_slots = [slot for slot in range(1, slot_count) if slot not in by_slot]
        self._searchable = np.zeros(max(slot_count, 64), dtype=np.bool_)
        id_of = np.array(self.product_ids, dtype=np.object_)
        for segment in segments:
            segment.product_ids = id_of[np.where(segment.alive, segment.slots, 0)][: segment.size].tolist()
            rows = np.flatnonzero(segment.alive)
            slots = segment.slots[rows]
            self._searchable[slots] = True
            for row, slot in zip(rows.tolist(), slots.tolist(), strict=True):
                by_slot[slot].rows.append((segment, row))

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

    def _append(
        self, slot: int, product_id: str, photo_id: str, vectors: Mapping[str, Floats]
    ) -> tuple[Segment, int]:
        if not self.segments or self.segments[-1].full:
            self.segments.append(Segment(self._next_row, self._segment_rows))
            self._next_row += self._segment_rows
        segment = self.segments[-1]
        return segment, segment.append(slot, product_id, photo_id, vectors)

    def _drop_rows(self, product: Product) -> None:
        for segment, row in product.rows:
            segment.drop(row)
        product.rows = []

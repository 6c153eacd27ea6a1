"""A fixed number of rows with one matrix a space, and their first passes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from services.vectorsearch.columns import Mask
from services.vectorsearch.first_pass import Pack, Plain, Precision, packed
from services.vectorsearch.kernels import Floats

# Rows that a growing segment packs for as long as it grows.
PACK_ROWS = 512
# What is left over is packed anew whenever it has grown by so many. Fewer are scored at full precision.
_LEFT_OVER_ROWS = 64


class Segment:
    """Rows of photos, only ever appended.

    What is said of a row never changes but for `alive`, which it can lose; so whoever has taken a copy of
    `alive` and of `size` may read on without a lock while rows come and go. The matrices are of full size
    from the start and never move: memory that no row has reached is not touched and costs nothing. The row of
    a photo without a vector in a space is left as zeros and marked as not present.
    """

    def __init__(self, first_row: int, capacity: int) -> None:
        """`first_row` is the number of its first row in the catalogue, which no other row ever has."""
        self.first_row = first_row
        self.capacity = capacity
        self.size = 0
        # Rows that have a product.
        self.live = 0
        # The slot of the product that each row was written for.
        self.slots: npt.NDArray[np.int32] = np.zeros(capacity, dtype=np.int32)
        self.alive: Mask = np.zeros(capacity, dtype=np.bool_)
        self.product_ids: list[str] = []
        self.photo_ids: list[str] = []
        self.matrices: dict[str, Floats] = {}
        self.present: dict[str, Mask] = {}
        # What is packed of each space, from the first row on, in order. Replaced and never changed.
        self.packs: dict[str, tuple[Pack, ...]] = {}

    @property
    def full(self) -> bool:
        """Whether no row can be appended."""
        return self.size == self.capacity

    @property
    def dead(self) -> int:
        """Rows without a product."""
        return self.size - self.live

    def append(self, slot: int, product_id: str, photo_id: str, vectors: Mapping[str, Floats]) -> int:
        """Add a row for the product in `slot`; its place."""
        row = self.size
        for space, vector in vectors.items():
            if space not in self.matrices:
                self.matrices[space] = np.zeros((self.capacity, len(vector)), dtype=np.float32)
                self.present[space] = np.zeros(self.capacity, dtype=np.bool_)
            self.matrices[space][row] = vector
            self.present[space][row] = True
        self.product_ids.append(product_id)
        self.photo_ids.append(photo_id)
        self.slots[row] = slot
        self.alive[row] = True
        self.size += 1
        self.live += 1
        return row

    def vectors(self, row: int) -> dict[str, Floats]:
        """The vectors of a row by space, as views."""
        return {space: matrix[row] for space, matrix in self.matrices.items() if self.present[space][row]}

    def drop(self, row: int) -> None:
        """Take a row from its product."""
        self.alive[row] = False
        self.live -= 1

    def pack(self, space: str, precision: Precision) -> None:
        """Pack the rows of a space: those of a full segment together, those of a growing one in parts."""
        done = self.packs.get(space, ())
        matrix = self.matrices[space]
        if self.full:
            if len(done) != 1 or done[0].rows != self.size:
                self.packs[space] = (packed(matrix, precision),)
            return
        kept = done[: self.size // PACK_ROWS]
        while kept and kept[-1].rows < PACK_ROWS:
            kept = kept[:-1]
        start = sum(pack.rows for pack in done)
        if self.size - start < _LEFT_OVER_ROWS:
            return
        starts = range(PACK_ROWS * len(kept), self.size, PACK_ROWS)
        fresh = (packed(matrix[first : min(first + PACK_ROWS, self.size)], precision) for first in starts)
        self.packs[space] = (*kept, *fresh)

    def parts(self, space: str, size: int) -> list[Pack]:
        """Packs of the first `size` rows of a space; those that are not packed yet come as they are."""
        packs = [*self.packs.get(space, ())]
        start = sum(pack.rows for pack in packs)
        if start < size:
            packs.append(Plain(self.matrices[space][start:size]))
        return packs

    @property
    def memory_bytes(self) -> int:
        """Bytes of the vectors of all rows and of their packs."""
        vectors = sum(matrix[: self.size].nbytes for matrix in self.matrices.values())
        return vectors + sum(pack.nbytes for packs in self.packs.values() for pack in packs)

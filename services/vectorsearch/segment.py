"""A fixed number of rows with one matrix a space."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from services.vectorsearch.columns import Mask
from services.vectorsearch.kernels import Floats

# The slot that no product ever has: rows without a product belong to it.
NOBODY = 0


class Segment:
    """Rows of photos, only ever appended.

    A row that was appended never changes its vectors; it can only lose its product. The matrices are of
    full size from the start and never move: memory that no row has reached is not touched and costs
    nothing. The row of a photo without a vector in a space is left as zeros and marked as not present.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.size = 0
        # Rows that have a product.
        self.live = 0
        self.slots: npt.NDArray[np.int32] = np.zeros(capacity, dtype=np.int32)
        self.photo_ids: list[str] = []
        self.matrices: dict[str, Floats] = {}
        self.present: dict[str, Mask] = {}

    @property
    def full(self) -> bool:
        """Whether no row can be appended."""
        return self.size == self.capacity

    @property
    def sparse(self) -> bool:
        """Whether it is full and fewer than half of its rows have a product."""
        return self.full and 2 * self.live < self.capacity

    def append(self, slot: int, photo_id: str, vectors: Mapping[str, Floats]) -> int:
        """Add a row for the product in `slot`; its place."""
        row = self.size
        for space, vector in vectors.items():
            if space not in self.matrices:
                self.matrices[space] = np.zeros((self.capacity, len(vector)), dtype=np.float32)
                self.present[space] = np.zeros(self.capacity, dtype=np.bool_)
            self.matrices[space][row] = vector
            self.present[space][row] = True
        self.photo_ids.append(photo_id)
        self.slots[row] = slot
        self.size += 1
        self.live += 1
        return row

    def vectors(self, row: int) -> dict[str, Floats]:
        """The vectors of a row by space, as views."""
        return {space: matrix[row] for space, matrix in self.matrices.items() if self.present[space][row]}

    def drop(self, row: int) -> None:
        """Take a row from its product."""
        self.slots[row] = NOBODY
        self.live -= 1

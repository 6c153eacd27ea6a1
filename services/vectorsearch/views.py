"""What a batch of searches reads of a catalogue's rows: a moment of it, taken under the lock, read without.

What is said of a row never changes but for whether it is alive, of which a view has a copy. So searches never
wait for a write, nor a write for a search, longer than it takes to make a view.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from services.vectorsearch.columns import Mask
from services.vectorsearch.first_pass import Pack
from services.vectorsearch.indexes.approximate import ApproximateIndex
from services.vectorsearch.kernels import Floats
from services.vectorsearch.rows import CatalogRows

Slots = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one segment. Arrays are of length `size`."""

    first_row: int
    size: int
    # How many rows are alive.
    live: int
    slots: Slots
    # None where all are.
    alive: Mask | None
    product_ids: Sequence[str]
    photo_ids: Sequence[str]
    # By space, where any row has a vector in it.
    packs: dict[str, list[Pack]]
    matrices: dict[str, Floats]
    # None where all are.
    present: dict[str, Mask | None]

    def passing(self, passing: Mask | None) -> Mask | None:
        """Bool [size]: living rows of the slots of `passing`, bool [slots]; None when all are."""
        if passing is None:
            return self.alive
        mask: Mask = passing[self.slots]
        if self.alive is not None:
            mask &= self.alive
        return None if mask.all() else mask


@dataclass(frozen=True, slots=True)
class View:
    """Rows as they were at one moment."""

    parts: Sequence[Part]
    # The most photos that any product has.
    most_photos: int
    # By space, where there is one.
    indexes: Mapping[str, ApproximateIndex] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows in all parts, dead ones too."""
        return sum(part.size for part in self.parts)

    @property
    def live(self) -> int:
        """Rows that are alive."""
        return sum(part.live for part in self.parts)


def view_of(rows: CatalogRows, spaces: Collection[str]) -> View:
    """The rows as they are now, for queries in `spaces`. To be taken under the lock."""
    parts = []
    for segment in rows.segments:
        size = segment.size
        if not segment.live:
            continue
        alive = segment.alive[:size].copy() if segment.live < size else None
        held = [space for space in segment.matrices if space in spaces]
        present = {space: segment.present[space][:size] for space in held}
        parts.append(
            Part(
                segment.first_row,
                size,
                segment.live,
                segment.slots[:size],
                alive,
                segment.product_ids,
                segment.photo_ids,
                {space: segment.parts(space, size) for space in held},
                {space: segment.matrices[space] for space in held},
                {space: None if mask.all() else mask for space, mask in present.items()},
            )
        )
    return View(parts, rows.most_photos, rows.indexes)

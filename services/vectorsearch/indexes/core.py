"""What every kind of approximate index is able to do."""

from __future__ import annotations

from typing import Protocol

from services.vectorsearch.columns import Mask
from services.vectorsearch.kernels import Floats, Indices


class Core(Protocol):
    """An index over positions."""

    nbytes: int
    # How far a search can look at most, in whatever it counts.
    most: int

    def search(self, queries: Floats, count: int, reach: int, passing: Mask | None) -> Indices:
        """Positions, int64 [q, count], padded with -1, for queries float32 [q, d].

        `passing`, bool [positions], is what a filter leaves; it is given where `serves` allows it only.
        """
        ...

    def serves(self, passing_rows: int, reach: int) -> bool:
        """Whether a search among so many rows that pass a filter is worth it."""
        ...

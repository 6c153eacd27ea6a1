"""What an approximate index is built over: rows that are alive, as they were at one moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from services.vectorsearch.kernels import Floats, Indices

# Rows that are copied at a time. Between them a build can be stopped.
CHUNK_ROWS = 1024

# The most bytes that a sample has.
_SAMPLE_BYTES = 256 << 20


class Stopped(Exception):
    """A build was told to stop."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """The rows of one segment that are alive and have a vector in the space.

    `places` int64 [n] in the segment, ascending; `matrix` float32 [segment, d], contiguous, whose rows do not
    change. `first_row` is the number of the segment's first row.
    """

    first_row: int
    places: Indices
    matrix: Floats

    def vectors(self, start: int, stop: int) -> Floats:
        """Float32 [stop - start, d]: a view where nothing lies between the rows."""
        places = self.places[start:stop]
        first, last = int(places[0]), int(places[-1])
        return self.matrix[first : last + 1] if last - first == len(places) - 1 else self.matrix[places]


@dataclass(frozen=True, slots=True)
class Source:
    """What an index is built over, as it was at one moment: at least one row.

    Rows with a number below `end_row` that are not in it are dead or have no vector. An index calls the rows
    by their position in `stretches`.
    """

    stretches: tuple[Stretch, ...]
    end_row: int

    @property
    def rows(self) -> int:
        """Rows in all stretches."""
        return sum(len(stretch.places) for stretch in self.stretches)

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        return int(self.stretches[0].matrix.shape[1])

    def chunks(self) -> Iterator[Floats]:
        """All vectors in order of position, float32 [n, d]."""
        for stretch in self.stretches:
            for start in range(0, len(stretch.places), CHUNK_ROWS):
                yield stretch.vectors(start, min(start + CHUNK_ROWS, len(stretch.places)))

    def vectors_at(self, positions: Indices) -> Floats:
        """Float32 [m, d] of positions int64 [m], in any order."""
        ends = np.cumsum([len(stretch.places) for stretch in self.stretches])
        owners = np.searchsorted(ends, positions, side="right")
        vectors: Floats = np.empty((len(positions), self.dimension), dtype=np.float32)
        for owner in np.unique(owners).tolist():
            stretch = self.stretches[owner]
            mine = owners == owner
            vectors[mine] = stretch.matrix[
                stretch.places[positions[mine] - ends[owner] + len(stretch.places)]
            ]
        return vectors

    def sample(self, rows: int, random: np.random.Generator) -> Floats:
        """Float32 [at most rows, d] of random rows."""
        picked = random.choice(self.rows, min(rows, self.rows), replace=False, shuffle=False)
        return self.vectors_at(np.sort(picked))


@dataclass(frozen=True, slots=True)
class Work:
    """A build under way."""

    source: Source
    random: np.random.Generator
    stopping: Callable[[], bool]

    def go_on(self) -> None:
        """Raises Stopped when the build was told to stop."""
        if self.stopping():
            raise Stopped

    def chunks(self) -> Iterator[Floats]:
        """As those of the source, unless the build is stopped."""
        for chunk in self.source.chunks():
            self.go_on()
            yield chunk

    def sample(self, rows: int) -> Floats:
        """Random rows, float32 [at most rows, d], and no more than make a sample of bounded size."""
        rows_at_most = _SAMPLE_BYTES // (4 * self.source.dimension)
        return self.source.sample(min(rows, rows_at_most), self.random)

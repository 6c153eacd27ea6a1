"""A score that the k best rows of each query reach for certain, known while rows still come.

Rows fall into groups; the best of each group is kept. The k-th best of these is the score of some row, and k
rows are as good, so whatever is below it is not among the k best. With eight times as many groups as k, it is
hardly less than the true k-th best score, and costs a pass of maxima instead of a heap.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from services.vectorsearch.kernels import Floats

# Groups a wanted row, where these are not too many; and as many as cost no more than they save.
_GROUPS_PER_ROW = 8
_USUAL_GROUPS = 8192
_MOST_GROUPS = 1 << 17


class Bar:
    """One bar a query. `depths` [q] says how many rows each query wants; `floors` [q] where it starts."""

    def __init__(self, depths: Sequence[int], floors: Sequence[float]) -> None:
        deepest = max(depths)
        wanted = max(min(_USUAL_GROUPS, _GROUPS_PER_ROW * deepest), min(_MOST_GROUPS, 2 * deepest))
        groups = 1 << (wanted - 1).bit_length()
        self._reachable = np.array(depths) <= groups
        # The place of the k-th best among the groups in ascending order.
        self._places = groups - np.minimum(depths, groups)
        self._distinct_places = sorted(set(self._places.tolist()))
        self._queries = np.arange(len(depths))
        self._floors = np.array(floors, dtype=np.float64)
        self._best: Floats = np.full((len(depths), groups), -np.inf, dtype=np.float32)
        # The group of the row that comes next.
        self._next = 0

    def rise(self, scores: Floats, error: npt.NDArray[np.float64]) -> None:
        """Take in scores float32 [q, n] that are at most `error` [q] above the exact ones; -inf for none."""
        queries, groups = self._best.shape
        rows = scores.shape[1]
        margin = error.astype(np.float32)[:, None]
        done = 0
        while done < rows:
            start = self._next
            many = (rows - done) // groups if start == 0 else 0
            if many:
                taken = scores[:, done : done + many * groups]
                best = taken.reshape(queries, many, groups).max(axis=1)
                np.maximum(self._best, best - margin, out=self._best)
                done += many * groups
            else:
                count = min(rows - done, groups - start)
                some = self._best[:, start : start + count]
                np.maximum(some, scores[:, done : done + count] - margin, out=some)
                done += count
                self._next = (start + count) % groups

    def join(self, other: Bar) -> None:
        """Take in what another bar of the same queries has seen of other rows."""
        np.maximum(self._best, other._best, out=self._best)

    @property
    def levels(self) -> npt.NDArray[np.float64]:
        """float64 [q]: rows whose exact score is lower are not wanted."""
        ordered = np.partition(self._best, self._distinct_places, axis=1)
        levels = np.where(self._reachable, ordered[self._queries, self._places], -np.inf)
        highest: npt.NDArray[np.float64] = np.maximum(levels.astype(np.float64), self._floors)
        return highest

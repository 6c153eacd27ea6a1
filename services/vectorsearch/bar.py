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

# More groups than this cost more than they save.
_MOST_GROUPS = 8192
_GROUPS_PER_ROW = 8


class Bar:
    """One bar a query. `depths` [q] says how many rows each query wants; `floors` [q] where it starts."""

    def __init__(self, depths: Sequence[int], floors: Sequence[float]) -> None:
        groups = 1
        while groups < min(_MOST_GROUPS, _GROUPS_PER_ROW * max(depths)):
            groups *= 2
        self._reachable = np.array(depths) <= groups
        # The place of the k-th best among the groups in ascending order.
        self._places = groups - np.minimum(depths, groups)
        self._distinct_places = sorted(set(self._places.tolist()))
        self._queries = np.arange(len(depths))
        self._floors = np.array(floors, dtype=np.float64)
        self._best: Floats = np.full((len(depths), groups), -np.inf, dtype=np.float32)

    def rise(self, scores: Floats, error: npt.NDArray[np.float64]) -> None:
        """Take in scores float32 [q, n] that are at most `error` [q] above the exact ones; -inf for none."""
        queries, groups = self._best.shape
        rows = scores.shape[1]
        whole = rows // groups * groups
        margin = error.astype(np.float32)[:, None]
        if whole:
            best = scores[:, :whole].reshape(queries, rows // groups, groups).max(axis=1)
            np.maximum(self._best, best - margin, out=self._best)
        if whole < rows:
            some = self._best[:, : rows - whole]
            np.maximum(some, scores[:, whole:] - margin, out=some)

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

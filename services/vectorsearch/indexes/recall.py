"""How good an approximate index is, measured where it is built.

Queries that are much like a row are easy. So half of the queries lie between two rows: these stand for mixed
queries, and for texts, whose vectors lie apart from those of all photos. Measured over 47,000 photos, IVF
finds about as many of the best rows of real texts as of these queries', and HNSW finds more.
"""

from __future__ import annotations

from math import sqrt
from typing import Any, cast

import faiss
import numpy as np

from services.vectorsearch.indexes.core import Core
from services.vectorsearch.indexes.source import Work
from services.vectorsearch.kernels import Floats

# The queries of either sort.
_QUERIES = 100
# The length of the noise beside that of a query of 1. It takes a row as far off (a cosine of 0.89) as another
# photo of the same thing.
_NOISE = 0.5
# Equal scores differ by less when they are summed in another order.
_SLACK = 1e-6

# FAISS's type stubs leave much of what is used here out.
_faiss = cast(Any, faiss)


def over_fetch(count: int) -> int:
    """How many candidates to ask for when so many rows are wanted."""
    return max(2 * count, 40)


class RecallTest:
    """Queries, and how good their best rows are by an exact search."""

    def __init__(self, work: Work) -> None:
        self._work = work
        near = work.random.permutation(work.sample(_QUERIES))
        queries = _unit(np.concatenate([near, near + np.roll(near, 1, axis=0)]))
        noise = work.random.standard_normal(queries.shape, dtype=np.float32)
        self._queries = _unit(queries + noise * np.float32(_NOISE / sqrt(work.source.dimension)))
        # The scores of the hundred best so far, ascending.
        best: Floats = np.full((len(queries), 100), -np.inf, dtype=np.float32)
        for chunk in work.chunks():
            scores, _ = _faiss.knn(
                self._queries, chunk, min(100, len(chunk)), metric=faiss.METRIC_INNER_PRODUCT
            )
            best = np.sort(np.concatenate([best, scores], axis=1))[:, -100:]
        self._best = best

    def recall(self, core: Core, reach: int, wanted: int) -> float:
        """The share of the `wanted` best rows that are found, by the sort of queries that find fewer.

        Of rows equally good any will do.
        """
        wanted = min(wanted, self._work.source.rows)
        found = core.search(self._queries, over_fetch(wanted), reach, None)
        queries, columns = np.nonzero(found >= 0)
        vectors = self._work.source.vectors_at(found[queries, columns])
        scores = np.einsum("ij,ij->i", vectors, self._queries[queries])
        good = scores >= self._best[queries, -wanted] - _SLACK
        hits = np.minimum(np.bincount(queries[good], minlength=len(found)), wanted)
        near, between = hits.reshape(2, -1).mean(axis=1) / wanted
        return float(min(near, between))

    def least_reach(self, core: Core, target_recall: float) -> tuple[int, float]:
        """The least reach at which the recall of the ten best is enough, or the greatest; and that recall.

        In steps by a half and by a third: 8, 12, 16, 24, 32 and so on.
        """
        reach = step = min(8, core.most)
        while True:
            self._work.go_on()
            recall = self.recall(core, reach, 10)
            if recall >= target_recall or reach == core.most:
                return reach, recall
            if reach > step:
                step *= 2
                reach = step
            else:
                reach += step // 2
            reach = min(reach, core.most)


def _unit(vectors: Floats) -> Floats:
    """Vectors of length 1; a zero stays zero."""
    unit: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-30))
    return unit

"""Rows in bytes, by cluster; a search reads the clusters nearest to the query.

Inverted files of scalar-quantised vectors (Sivic and Zisserman, Video Google, 2003; Douze et al., The Faiss
library, 2024).
"""

from __future__ import annotations

from math import ceil, sqrt
from typing import Any, cast

import faiss
import numpy as np
import numpy.typing as npt

from services.vectorsearch.columns import Mask
from services.vectorsearch.indexes.source import Work
from services.vectorsearch.kernels import Floats, Indices

# Clusters are learnt from so many rows each.
_SAMPLES_PER_LIST = 64
_CLUSTERING_ROUNDS = 10

# At least so many rows are read for every candidate.
_ROWS_PER_CANDIDATE = 16
# A filter may have nothing to do with the query, and then what passes lies in clusters about as far as many
# others: so many times more of them are read.
_FILTERED_FACTOR = 3

# FAISS's type stubs leave much of what is used here out.
_faiss = cast(Any, faiss)


class Ivf:
    """Rows in bytes, by cluster."""

    def __init__(self, work: Work) -> None:
        self._index = clustered(work)
        self.most = int(self._index.nlist)
        lists: list[npt.NDArray[np.int32]] = [
            self._index.quantizer.assign(chunk, 1)[:, 0].astype(np.int32) for chunk in work.chunks()
        ]
        # The list of each row by position.
        self._lists = np.concatenate(lists)
        self._sizes = np.bincount(self._lists, minlength=self.most)
        # Growing lists would take up to twice the memory.
        inverted = _faiss.downcast_InvertedLists(self._index.invlists)
        for number, size in enumerate(self._sizes.tolist()):
            inverted.resize(number, size)
            inverted.resize(number, 0)
        start = 0
        for chunk in work.chunks():
            stop = start + len(chunk)
            positions: Indices = np.arange(start, stop)
            assigned = self._lists[start:stop].astype(np.int64)
            self._index.add_core(len(chunk), *map(_faiss.swig_ptr, (chunk, positions, assigned)))
            start = stop
        self._rows = start
        list_bytes = self.most * work.source.dimension * 4
        self.nbytes = self._rows * (self._index.code_size + 8 + 4) + list_bytes

    def search(self, queries: Floats, count: int, reach: int, passing: Mask | None) -> Indices:
        """See Core. Only clusters of which a row passes are looked at."""
        reach = max(reach, reach_for(count, self.most, self._rows))
        parameters = _faiss.SearchParametersIVF(nprobe=min(reach, self.most))
        if passing is not None:
            chosen = np.bincount(self._lists[passing], minlength=self.most) > 0
            if not chosen.any():
                return np.full((len(queries), count), -1, dtype=np.int64)
            share = np.count_nonzero(passing) / int(self._sizes[chosen].sum())
            parameters = _faiss.SearchParametersIVF(
                sel=_selector(passing),
                nprobe=min(ceil(_FILTERED_FACTOR * reach / share), int(np.count_nonzero(chosen))),
                quantizer_params=_faiss.SearchParameters(sel=_selector(chosen)),
            )
        _, positions = self._index.search(queries, count, params=parameters)
        return np.asarray(positions)

    def serves(self, passing_rows: int, reach: int) -> bool:
        """See Core."""
        return passing_rows * self.most >= 2 * _FILTERED_FACTOR * reach * self._rows


def reach_for(count: int, lists: int, rows: int) -> int:
    """The lists that must be read at least for so many candidates, of `lists` with `rows` rows."""
    return ceil(_ROWS_PER_CANDIDATE * count * lists / rows)


def clustered(work: Work) -> Any:
    """An IVF index without rows: twice the root of the rows as many clusters, learnt from a sample.

    More clusters are no quicker to search at the same recall, and slower to learn.
    """
    dimension = work.source.dimension
    lists = max(1, round(2 * sqrt(work.source.rows)))
    sample = work.sample(_SAMPLES_PER_LIST * lists)
    lists = min(lists, len(sample))
    quantizer = _faiss.IndexFlatIP(dimension)
    clustering: Any = _faiss.Clustering(dimension, lists)
    clustering.niter = 1
    clustering.spherical = True
    clustering.seed = int(work.random.integers(1 << 30))
    # It has been sampled here, so let it neither leave rows out nor warn of too few.
    clustering.min_points_per_centroid = 1
    clustering.max_points_per_centroid = len(sample)
    for _ in range(_CLUSTERING_ROUNDS):
        work.go_on()
        clustering.train(sample, quantizer)
    by_residual = False
    index: Any = _faiss.IndexIVFScalarQuantizer(
        quantizer, dimension, lists, _faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT, by_residual
    )
    index.train(sample)
    return index


def _selector(mask: Mask) -> Any:
    return _faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))

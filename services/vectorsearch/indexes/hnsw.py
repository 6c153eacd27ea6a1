"""Rows in bytes, each with links to its neighbours; a search walks the links towards the query.

As Malkov and Yashunin, Efficient and robust approximate nearest neighbor search using hierarchical navigable
small world graphs, 2018.
"""

from __future__ import annotations

from math import ceil
from typing import Any, cast

import faiss
import numpy as np

from services.vectorsearch.columns import Mask
from services.vectorsearch.indexes.source import Work
from services.vectorsearch.kernels import Floats, Indices

# The range of each dimension is learnt from so many rows.
_SAMPLES = 65_536
_NEIGHBOURS = 16
_EF_CONSTRUCTION = 100

# FAISS's type stubs leave much of what is used here out.
_faiss = cast(Any, faiss)


class Hnsw:
    """Rows in bytes, each with links to its neighbours."""

    most = 1024

    def __init__(self, work: Work) -> None:
        rows, dimension = work.source.rows, work.source.dimension
        quantizer = _faiss.ScalarQuantizer.QT_8bit
        self._index: Any = _faiss.IndexHNSWSQ(dimension, quantizer, _NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
        graph = self._index.hnsw
        graph.efConstruction = _EF_CONSTRUCTION
        self._index.train(work.sample(_SAMPLES))
        # Growing arrays would take up to twice the memory. A row has twice as many links as neighbours, and
        # one in so many rows has as many again for every layer that it is on.
        codes = _faiss.downcast_index(self._index.storage).codes
        links_per_row = 2 * _NEIGHBOURS + 1.01 * _NEIGHBOURS / (_NEIGHBOURS - 1)
        for array, size in (codes, rows * dimension), (graph.neighbors, ceil(rows * links_per_row)):
            array.resize(size)
            array.resize(0)
        for chunk in work.chunks():
            self._index.add(chunk)
        self.nbytes = codes.size() + 4 * graph.neighbors.size() + (8 + 4) * rows

    def search(self, queries: Floats, count: int, reach: int, passing: Mask | None) -> Indices:
        """See Core."""
        assert passing is None
        parameters = _faiss.SearchParametersHNSW(efSearch=max(reach, count))
        _, positions = self._index.search(queries, count, params=parameters)
        return np.asarray(positions)

    def serves(self, passing_rows: int, reach: int) -> bool:  # noqa: ARG002 - a Core
        """See Core."""
        return False

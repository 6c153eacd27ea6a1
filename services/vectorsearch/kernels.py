"""Inner products of queries with rows where they lie, by FAISS's vectorised kernels.

Each row is one sequential pass of the same kernel whatever is asked for beside it, so equal photos get equal
cosines under every plan. FAISS lets go of the interpreter lock meanwhile. Picking rows uses OpenMP: a thread
that shall work alone says `faiss.omp_set_num_threads(1)` first.
"""

from __future__ import annotations

from typing import Any, cast

import faiss
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

# FAISS's type stubs leave its plain functions out.
_faiss = cast(Any, faiss)


def inner_products(matrix: Floats, query: Floats) -> Floats:
    """The inner products, float32 [n], of `query`, float32 [d], with each row of `matrix`, float32 [n, d].

    Both must be contiguous.
    """
    products: Floats = np.empty(len(matrix), dtype=np.float32)
    if len(products):
        _faiss.fvec_inner_products_ny(
            faiss.swig_ptr(products),
            faiss.swig_ptr(query),
            faiss.swig_ptr(matrix),
            matrix.shape[1],
            len(matrix),
        )
    return products


def inner_products_at(matrix: Floats, rows: Indices, queries: Floats) -> Floats:
    """The inner products, float32 [q, m], of `queries` float32 [q, d] with rows of `matrix` float32 [n, d].

    `rows`, int64 [q, m], names the rows for each query; -1 is no row, its product minus infinity. All must be
    contiguous. Reads those rows only and copies none of them.
    """
    products: Floats = np.empty(rows.shape, dtype=np.float32)
    if rows.size:
        _faiss.fvec_inner_products_by_idx(
            faiss.swig_ptr(products),
            faiss.swig_ptr(queries),
            faiss.swig_ptr(matrix),
            faiss.swig_ptr(rows),
            matrix.shape[1],
            len(queries),
            rows.shape[1],
        )
    return products

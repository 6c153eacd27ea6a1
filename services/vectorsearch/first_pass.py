"""The first pass of an exact search: rows in half precision or in bytes, whose scores have a proven error.

What is read from memory decides how long a search takes, so a first pass reads a half or a quarter of it. It
gives every row a score that differs from the exact one by no more than a known bound. Rows that might be
among the best are then scored exactly, from the numbers at full precision, so nothing is lost. The bound is
that of Cauchy and Schwarz, |q.x - p.y| <= |q| |x - y| + |q - p| |y|, with what rounding a sum adds (Higham,
Accuracy and Stability of Numerical Algorithms, 2002, section 3.1). NumKong's kernels multiply packed rows
with many queries at once, on matrix units where the processor has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

import numkong
import numpy as np
import numpy.typing as npt

from services.vectorsearch.kernels import Floats, inner_products

Halves = npt.NDArray[np.float16]
Precision = Literal["flat", "flat16", "sq8"]

# NumKong's type stubs do not know numpy's arrays.
_numkong = cast(Any, numkong)

_LEVELS = 127
# Of a query in bytes, the second plane counts this much less than the first.
_FINER = 254
_CACHED_ROWS = 128
# Rounding of one float32 operation.
_UNIT = 2.0**-24


@dataclass(frozen=True, slots=True)
class Asked:
    """Queries in one space, ready for packs of any precision.

    `vectors` float32 [q, d], contiguous, and of each, float64 [q], its `norms`.
    """

    vectors: Floats
    norms: npt.NDArray[np.float64]
    halves: Halves
    halves_off: npt.NDArray[np.float64]
    planes: npt.NDArray[np.int8]
    steps: Floats
    planes_off: npt.NDArray[np.float64]


class Pack(Protocol):
    """Some rows of one space, ready to be scored together."""

    rows: int
    nbytes: int
    # How far each row as packed is from what it was, float32 [rows]: a score may be off by that times the
    # norm of the query. None where `error` has it in.
    off: Floats | None

    def scores(self, asked: Asked) -> Floats:
        """About the inner products, float32 [q, rows]. The caller's to change."""
        ...

    def error(self, asked: Asked) -> npt.NDArray[np.float64]:
        """How far from the exact inner product a score may be beside what `off` says: float64 [q]."""
        ...


def asked(vectors: Floats) -> Asked:
    """Queries float32 [q, d] made ready."""
    exact = vectors.astype(np.float64)
    halves = vectors.astype(np.float16)
    # Two planes of bytes: what the first leaves over, in the second.
    steps = np.maximum(np.abs(vectors).max(axis=1, keepdims=True), np.float32(1e-30)) / np.float32(_LEVELS)
    coarse = np.rint(vectors / steps)
    fine = np.clip(np.rint((vectors / steps - coarse) * _FINER), -_LEVELS, _LEVELS)
    kept = (coarse.astype(np.float64) + fine.astype(np.float64) / _FINER) * steps.astype(np.float64)
    planes = np.concatenate([coarse, fine]).astype(np.int8)
    return Asked(
        np.ascontiguousarray(vectors),
        np.linalg.norm(exact, axis=1),
        halves,
        np.linalg.norm(exact - halves.astype(np.float64), axis=1),
        planes,
        steps,
        np.linalg.norm(exact - kept, axis=1),
    )


def packed(matrix: Floats, precision: Precision) -> Pack:
    """The rows of `matrix`, float32 [n, d], in that precision, or as they are where they do not fit it."""
    if precision == "sq8":
        return _Bytes(matrix)
    if precision == "flat16" and np.abs(matrix).max(initial=0.0) < np.finfo(np.float16).max:
        return _Halves(matrix)
    return Plain(matrix)


class Plain:
    """Rows as they are, for few of them or where nothing less will do. A view: it has no bytes of its own."""

    def __init__(self, matrix: Floats) -> None:
        self.rows = len(matrix)
        self.nbytes = 0
        self.off: Floats | None = None
        self._matrix = matrix
        self._norm = float(_norms(matrix).max(initial=0.0))

    def scores(self, asked: Asked) -> Floats:
        """See Pack."""
        if len(asked.vectors) == 1:
            return inner_products(self._matrix, asked.vectors[0])[None, :]
        scores: Floats = asked.vectors @ self._matrix.T
        return scores

    def error(self, asked: Asked) -> npt.NDArray[np.float64]:
        """See Pack."""
        return asked.norms * (self._norm * _rounding(self._matrix.shape[1]))


class _Halves:
    """Rows in float16."""

    def __init__(self, matrix: Floats) -> None:
        halves: Halves = np.empty(matrix.shape, dtype=np.float16)
        off = norm = 0.0
        # A few rows at a time stay in the processor's cache from one step to the next.
        for start in range(0, len(matrix), _CACHED_ROWS):
            some = matrix[start : start + _CACHED_ROWS]
            # NumKong converts three times as fast as numpy.
            its = np.asarray(_numkong.astype(some, "float16"))
            halves[start : start + _CACHED_ROWS] = its
            its_off = some - np.asarray(_numkong.astype(its, "float32"))
            off = max(off, float(_norms(its_off).max()))
            norm = max(norm, float(_norms(some).max()))
        self.rows = len(matrix)
        self.off: Floats | None = None
        # All rows are off by about as much, and by little: the greatest will do for all.
        self._off = off
        self._norm = norm + off
        self._rounding = _rounding(matrix.shape[1])
        self._packed = _numkong.dots_pack(halves, dtype="float16")
        self.nbytes = int(self._packed.nbytes)

    def scores(self, asked: Asked) -> Floats:
        """See Pack."""
        return np.asarray(_numkong.dots_packed(asked.halves, self._packed))

    def error(self, asked: Asked) -> npt.NDArray[np.float64]:
        """See Pack."""
        of_sums = (asked.norms + asked.halves_off) * (self._norm * self._rounding)
        return asked.norms * self._off + asked.halves_off * self._norm + of_sums


class _Bytes:
    """Rows in int8, each with a step of its own; sums of bytes are exact."""

    def __init__(self, matrix: Floats) -> None:
        steps = np.maximum(np.abs(matrix).max(axis=1), np.float32(1e-30)) / np.float32(_LEVELS)
        codes = np.rint(matrix / steps[:, None])
        off = matrix - codes * steps[:, None]
        self.rows = len(matrix)
        # A row with one great number is off by several times as much as others.
        self.off: Floats | None = _norms(off)
        self._steps = steps
        self._norm = float((_norms(matrix) + self.off).max(initial=0.0))
        self._rounding = _rounding(matrix.shape[1])
        self._packed = _numkong.dots_pack(codes.astype(np.int8), dtype="int8")
        self.nbytes = int(self._packed.nbytes) + steps.nbytes + self.off.nbytes

    def scores(self, asked: Asked) -> Floats:
        """See Pack."""
        sums = np.asarray(_numkong.dots_packed(asked.planes, self._packed))
        queries = len(asked.vectors)
        scores: Floats = sums[queries:].astype(np.float32)
        scores *= np.float32(1 / _FINER)
        scores += sums[:queries]
        scores *= self._steps
        scores *= asked.steps
        return scores

    def error(self, asked: Asked) -> npt.NDArray[np.float64]:
        """See Pack."""
        of_sums = (asked.norms + asked.planes_off) * (self._norm * self._rounding)
        return asked.planes_off * self._norm + of_sums


def _norms(matrix: Floats) -> Floats:
    """The length of each row, rounded up; float32 sums suffice for it."""
    squares: Floats = np.einsum("ij,ij->i", matrix, matrix)
    norms: Floats = np.sqrt(squares) * np.float32(1 + _rounding(matrix.shape[1]))
    return norms


def _rounding(dimension: int) -> float:
    """The most that two ways of adding up so many products in float32 differ by, as a share."""
    return 2.02 * (dimension + 8) * _UNIT

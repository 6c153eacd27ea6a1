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

from services.vectorsearch.kernels import Floats, inner_products, inner_products_at

Halves = npt.NDArray[np.float16]
Precision = Literal["flat", "flat16", "sq8"]

# NumKong's type stubs do not know numpy's arrays.
_numkong = cast(Any, numkong)

_LEVELS = 127
# Of a query in bytes, the second plane counts this much less than the first.
_FINER = 254
_FEW_ROWS = 128
# So many rows stay in the processor's cache from one step to the next.
_CACHED_ROWS = 128
# Rows that are off by more of their length than this leave so much to score exactly that bytes are no gain.
_MOST_OFF = 0.02
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

    def scores(self, asked: Asked) -> Floats:
        """About the inner products, float32 [q, rows]. The caller's to change."""
        ...

    def error(self, asked: Asked) -> npt.NDArray[np.float64]:
        """How far from the exact inner product a score may be: float64 [q]."""
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
    """The rows of `matrix`, float32 [n, d], in that precision, or a finer one if it is too coarse."""
    if precision == "sq8":
        # A few rows tell of most that are not fit for it.
        fit = _is_fit(_Coded(matrix[:_CACHED_ROWS])) and _is_fit(coded := _Coded(matrix))
        if fit:
            return _Bytes(coded)
    if precision != "flat" and np.abs(matrix).max(initial=0.0) < np.finfo(np.float16).max:
        return _Halves(matrix)
    return Plain(matrix)


class Plain:
    """Rows as they are, for few of them or where nothing less will do. A view: it has no bytes of its own."""

    def __init__(self, matrix: Floats) -> None:
        self.rows = len(matrix)
        self.nbytes = 0
        self._matrix = matrix
        self._norm = float(_norms(matrix).max(initial=0.0))

    def scores(self, asked: Asked) -> Floats:
        """See Pack."""
        if len(asked.vectors) == 1:
            return inner_products(self._matrix, asked.vectors[0])[None, :]
        if self.rows <= _FEW_ROWS:
            # BLAS would wake threads of its own for them, which then wait for more in a busy loop.
            every = np.tile(np.arange(self.rows, dtype=np.int64), (len(asked.vectors), 1))
            return inner_products_at(self._matrix, every, asked.vectors)
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
        for start in range(0, len(matrix), _CACHED_ROWS):
            some = matrix[start : start + _CACHED_ROWS]
            # NumKong converts three times as fast as numpy.
            its = np.asarray(_numkong.astype(some, "float16"))
            halves[start : start + _CACHED_ROWS] = its
            its_off = some - np.asarray(_numkong.astype(its, "float32"))
            off = max(off, float(_norms(its_off).max()))
            norm = max(norm, float(_norms(some).max()))
        self.rows = len(matrix)
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


class _Coded:
    """Rows in int8, each with a step of its own: `codes` [n, d], `steps` [n]; the worst norm and loss."""

    def __init__(self, matrix: Floats) -> None:
        self.codes: npt.NDArray[np.int8] = np.empty(matrix.shape, dtype=np.int8)
        self.steps: Floats = np.empty(len(matrix), dtype=np.float32)
        self.off = self.norm = 0.0
        for start in range(0, len(matrix), _CACHED_ROWS):
            some = matrix[start : start + _CACHED_ROWS]
            steps = np.maximum(np.abs(some).max(axis=1), np.float32(1e-30)) / np.float32(_LEVELS)
            codes = np.rint(some / steps[:, None])
            self.codes[start : start + _CACHED_ROWS] = codes
            self.steps[start : start + _CACHED_ROWS] = steps
            self.off = max(self.off, float(_norms(some - codes * steps[:, None]).max()))
            self.norm = max(self.norm, float(_norms(some).max()))


def _is_fit(coded: _Coded) -> bool:
    """Whether no row lost much. Rows with a few great numbers each do."""
    return coded.off <= _MOST_OFF * coded.norm


class _Bytes:
    """Rows in int8; sums of bytes are exact."""

    def __init__(self, coded: _Coded) -> None:
        self.rows, dimension = coded.codes.shape
        self._steps = coded.steps
        self._off = coded.off
        self._norm = coded.norm + coded.off
        self._rounding = _rounding(dimension)
        self._packed = _numkong.dots_pack(coded.codes, dtype="int8")
        self.nbytes = int(self._packed.nbytes) + self._steps.nbytes

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
        return asked.norms * self._off + asked.planes_off * self._norm + of_sums


def _norms(matrix: Floats) -> Floats:
    """The length of each row, rounded up; float32 sums suffice for it."""
    squares: Floats = np.einsum("ij,ij->i", matrix, matrix)
    norms: Floats = np.sqrt(squares) * np.float32(1 + _rounding(matrix.shape[1]))
    return norms


def _rounding(dimension: int) -> float:
    """The most that two ways of adding up so many products in float32 differ by, as a share."""
    return 2.02 * (dimension + 8) * _UNIT

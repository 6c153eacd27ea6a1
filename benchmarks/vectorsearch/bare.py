"""FAISS used plainly, and what is right. In a process of its own, which idles while a server is measured.

The functions are the tasks of a pool of one process: `prepare` first.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import faiss
import numpy as np
import numpy.typing as npt

from benchmarks.vectorsearch.collection import Collection, Floats

# FAISS's type stubs leave its plain functions and variables out.
_faiss = cast(Any, faiss)

# Scores that are as close as this count as equal.
TIE = 1e-6

_DEFAULT_BLAS = int(_faiss.cvar.distance_compute_blas_threshold)
# So many rows are compared in float64 at once.
_AT_ONCE = 16_384


@dataclass(frozen=True, slots=True)
class Way:
    """How FAISS is called: queries a call, OpenMP threads, and whether BLAS is taken whatever the batch."""

    batch: int
    threads: int
    blas: bool = False

    def __str__(self) -> str:
        return f"batch {self.batch}, threads {self.threads}{', BLAS' if self.blas else ''}"


@dataclass(slots=True)
class _Index:
    flat: Any
    queries: Floats
    limit: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of `wanted` rows that belong among the best, so many were `right`."""

    right: int
    wanted: int

    @property
    def recall(self) -> float:
        """The share that was right."""
        return self.right / self.wanted if self.wanted else 1.0


_index: _Index | None = None


def threads() -> tuple[int, ...]:
    """The numbers of OpenMP threads that are tried: one, and as many as there are cores."""
    return tuple(dict.fromkeys((1, len(os.sched_getaffinity(0)))))


def prepare(collection: Collection, weights: Mapping[str, float], limit: int) -> None:
    """Build the flat index, float32, of the rows in the spaces of `weights`, one beside the other.

    The queries carry the weights, so that inner products are weighted sums of cosines.
    """
    global _index  # noqa: PLW0603 - tasks of a pool share nothing but the module they are in
    _index = None
    queries = np.hstack([collection.asked(space) * np.float32(weight) for space, weight in weights.items()])
    flat = _faiss.IndexFlatIP(queries.shape[1])
    matrices = [collection.matrix(space) for space in weights]
    for start in range(0, collection.rows, _AT_ONCE):
        flat.add(np.hstack([matrix[start : start + _AT_ONCE] for matrix in matrices]))
    _index = _Index(flat, np.ascontiguousarray(queries), limit)


def rate(ways: Sequence[Way], seconds: float) -> float:
    """Queries a second over whole batches by the fastest of some ways, each for `seconds` at least."""
    return max(_rate(way, seconds) for way in ways)


def sweep(ways: Sequence[Way], passes: int, seconds: float) -> dict[Way, float]:
    """The median of each way's rate over `passes`, the ways taking turns."""
    rates = [{way: _rate(way, seconds) for way in ways} for _ in range(passes)]
    return {way: float(np.median([each[way] for each in rates])) for way in ways}


def singles(ways: Sequence[Way], count: int) -> list[float]:
    """Seconds of each of `count` calls by the fastest of some ways."""
    return min((_singles(way, count) for way in ways), key=lambda latencies_s: float(np.median(latencies_s)))


def judge(
    collection: Collection,
    weights: Mapping[str, float],
    answers: Sequence[Sequence[int]],
    limit: int,
    selectivity: float | None = None,
) -> Verdict:
    """Compare answers, the rows found for the first queries, with all rows scored in float64 by numpy.

    A row is right that passes the filter, occurs once, and scores no less than the last one that belongs
    among the best `limit`, give or take TIE.
    """
    scores: npt.NDArray[np.float64] = np.zeros((len(answers), collection.rows))
    for space, weight in weights.items():
        queries = collection.asked(space)[: len(answers)].astype(np.float64) * weight
        matrix = collection.matrix(space)
        for start in range(0, collection.rows, _AT_ONCE):
            part = matrix[start : start + _AT_ONCE].astype(np.float64)
            scores[:, start : start + len(part)] += queries @ part.T
    if selectivity is not None:
        scores[:, ~collection.passing(selectivity)] = -np.inf
    right = wanted = 0
    for mine, answer in zip(scores, answers, strict=True):
        belong = min(limit, int(np.count_nonzero(mine > -np.inf)))
        least = np.partition(mine, -belong)[-belong]
        named = list(dict.fromkeys(answer))[:belong]
        right += int(np.count_nonzero(mine[named] >= least - TIE))
        wanted += belong
    return Verdict(right, wanted)


def _rate(way: Way, seconds: float) -> float:
    turns = _turns(way)
    next(turns)()
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        next(turns)()
        done += way.batch
    return done / (time.perf_counter() - start)


def _singles(way: Way, count: int) -> list[float]:
    latencies_s = []
    turns = _turns(way)
    next(turns)()
    for _ in range(count):
        batch = next(turns)
        start = time.perf_counter()
        batch()
        latencies_s.append(time.perf_counter() - start)
    return latencies_s


def _turns(way: Way) -> Iterator[Callable[[], object]]:
    """Calls without end, each with the next queries."""
    assert _index is not None
    flat, limit = _index.flat, _index.limit
    _faiss.omp_set_num_threads(way.threads)
    _faiss.cvar.distance_compute_blas_threshold = 1 if way.blas else _DEFAULT_BLAS
    count = max(len(_index.queries), way.batch)
    queries = np.resize(_index.queries, (count, _index.queries.shape[1]))
    start = 0
    while True:
        batch = queries[start : start + way.batch]
        yield partial(flat.search, batch, limit)
        start = start + way.batch if start + 2 * way.batch <= count else 0

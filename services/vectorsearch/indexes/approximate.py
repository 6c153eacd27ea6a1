"""Approximate indexes: the rows that are probably nearest to a query, without reading all of them.

An index is built once over the rows that are alive, and never changed. What it names is scored exactly
afterwards, from the vectors at full precision; so it holds a byte a dimension only and is asked for more rows
than are wanted. How far a search looks is settled when an index is built: as little as reaches a recall that
is measured then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from services.vectorsearch.columns import Mask
from services.vectorsearch.indexes.core import Core
from services.vectorsearch.indexes.devices import Devices, GpuFlat, GpuIvf
from services.vectorsearch.indexes.hnsw import Hnsw
from services.vectorsearch.indexes.ivf import Ivf
from services.vectorsearch.indexes.kinds import ApproximateKind
from services.vectorsearch.indexes.recall import RecallTest
from services.vectorsearch.indexes.source import Source, Work
from services.vectorsearch.kernels import Floats, Indices


@dataclass(frozen=True, slots=True)
class ApproximateIndex:
    """An index of one space, its measured recall, and what it holds. Any number of threads may ask it.

    `reach` is how far a search looks: lists of IVF, nodes that HNSW keeps; for `gpu_flat` it means nothing.
    """

    kind: ApproximateKind
    # Rows with this number or a higher one are not in it.
    end_row: int
    rows: int
    nbytes: int
    reach: int
    recall_at_10: float
    recall_at_100: float
    build_s: float
    _core: Core
    # The number of each row by position, ascending within a segment.
    _numbers: Indices
    # First row of each segment, and the position after its last row.
    _segments: tuple[tuple[int, int], ...]

    def serves(self, passing_rows: int) -> bool:
        """Whether it should be asked for rows of a filter that so many pass; else an exact search is better.

        HNSW and the GPU never are: the walk of HNSW ends where the query's neighbours do not pass (recall 0.6
        where 80% pass but not those nearest), and on the GPU FAISS knows no filters. IVF is where it reads
        half as many rows as pass, or fewer.
        """
        return self._core.serves(passing_rows, self.reach)

    def candidates(
        self, queries: Floats, count: int, passing: Mapping[int, Mask | None] | None = None
    ) -> Indices:
        """Numbers of rows, int64 [q, count], that are probably nearest, -1 where there are no more.

        `queries` float32 [q, d]. The order means little: ask for `over_fetch` and score them exactly. Rows
        that died since are among them. `passing` leaves the rows of a filter only, where `serves` allows it:
        by the first row of a segment bool [size of the segment], None for all of its rows; none of those of
        a segment that is not there.
        """
        assert count >= 1
        mask = None if passing is None else self._by_position(passing)
        positions = self._core.search(np.ascontiguousarray(queries), count, self.reach, mask)
        found: Indices = np.where(positions < 0, -1, self._numbers[positions])
        return found

    def _by_position(self, passing: Mapping[int, Mask | None]) -> Mask:
        mask: Mask = np.zeros(self.rows, dtype=np.bool_)
        start = 0
        for first_row, end in self._segments:
            if first_row in passing:
                its = passing[first_row]
                mask[start:end] = True if its is None else its[self._numbers[start:end] - first_row]
            start = end
        return mask


def build(
    kind: ApproximateKind,
    source: Source,
    *,
    target_recall: float = 0.98,
    seed: int = 0,
    devices: Devices | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> ApproximateIndex:
    """Build an index that finds `target_recall` of the ten best rows, or as many as it can.

    The kinds of the GPU need `devices`. Uses the calling thread and as many more as OpenMP is allowed there.
    Raises Stopped soon after `stopping` says so; it is asked from this thread.
    """
    started_at = time.monotonic()
    random = np.random.default_rng(seed)
    work = Work(source, random, stopping)
    core = _core(kind, work, devices)
    test = RecallTest(work)
    reach, recall_at_10 = test.least_reach(core, target_recall)
    return ApproximateIndex(
        kind,
        source.end_row,
        source.rows,
        core.nbytes + 8 * source.rows,
        reach,
        recall_at_10,
        test.recall(core, reach, 100),
        time.monotonic() - started_at,
        core,
        np.concatenate([stretch.first_row + stretch.places for stretch in source.stretches]),
        tuple(
            zip(
                [stretch.first_row for stretch in source.stretches],
                np.cumsum([len(stretch.places) for stretch in source.stretches]).tolist(),
                strict=True,
            )
        ),
    )


def _core(kind: ApproximateKind, work: Work, devices: Devices | None) -> Core:
    match kind:
        case "ivf":
            return Ivf(work)
        case "hnsw":
            return Hnsw(work)
        case "gpu_flat":
            assert devices is not None
            return GpuFlat(work, devices)
        case "gpu_ivf":
            assert devices is not None
            return GpuIvf(work, devices)
        case _:
            assert_never(kind)

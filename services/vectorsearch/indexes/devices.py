"""Indexes in the memory of GPUs, which the rows of a space share.

FAISS's GPU indexes (Johnson, Douze and Jegou, Billion-scale similarity search with GPUs, 2019) allow one call
at a time, take queries and answers from the host's memory, and know no filters.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any, cast

import faiss
import numpy as np

from services.mesh.errors import FailedPrecondition
from services.vectorsearch.columns import Mask
from services.vectorsearch.indexes.ivf import clustered, reach_for
from services.vectorsearch.indexes.source import Work
from services.vectorsearch.kernels import Floats, Indices

# More than this many candidates, or lists, FAISS's kernels for GPUs do not select.
MAX_SELECTED = 2048

# FAISS's type stubs leave much of the GPU part out, and the CPU build has none of it.
_faiss = cast(Any, faiss)


def gpu_count() -> int:
    """GPUs that FAISS can use here: 0 in its CPU build."""
    return int(_faiss.get_num_gpus())


class Devices:
    """The GPUs of this process: one resources object each, with `temp_memory_mib` MiB to work in.

    Raises FailedPrecondition (NO_GPU) where there is none.
    """

    def __init__(self, *, temp_memory_mib: int = 256) -> None:
        if not gpu_count():
            raise FailedPrecondition("FAISS finds no GPU here", reason="NO_GPU")
        self._resources = []
        for _ in range(gpu_count()):
            resources = _faiss.StandardGpuResources()
            resources.setTempMemory(temp_memory_mib << 20)
            self._resources.append(resources)
        # Building and searching share the resources, so all calls wait for each other.
        self._lock = threading.Lock()

    def place(self, empty: Any, chunks: Iterable[Floats], rows: int) -> OnDevices:
        """A trained index without rows, filled with `rows` rows in GPU memory, in chunks float32 [n, d].

        Flat ones hold them in half precision there.
        """
        options = _faiss.GpuClonerOptions()
        options.useFloat16 = True
        options.reserveVecs = rows // len(self._resources) + 1
        with self._lock:
            indexes = [
                _faiss.index_cpu_to_gpu(resources, device, empty, options)
                for device, resources in enumerate(self._resources)
            ]
        return OnDevices(shared_out(indexes, chunks, rows, self._lock), self._lock)


class OnDevices:
    """A filled index whose calls wait for each other."""

    def __init__(self, index: Any, lock: threading.Lock) -> None:
        self._index = index
        self._lock = lock

    def search(self, queries: Floats, count: int, parameters: Any | None) -> Indices:
        """Positions of the best rows, int64 [q, count], padded with -1, for queries float32 [q, d].

        `count` is at most MAX_SELECTED.
        """
        with self._lock:
            _, positions = self._index.search(queries, count, params=parameters)
        return np.asarray(positions)


def shared_out(indexes: Sequence[Any], chunks: Iterable[Floats], rows: int, lock: threading.Lock) -> Any:
    """One index of empty ones, each filled with about as many rows in order; `lock` is held for every add.

    Positions count through all of them.
    """
    ends = [rows * (number + 1) // len(indexes) for number in range(len(indexes))]
    start = number = 0
    for chunk in chunks:
        rest = chunk
        while len(rest):
            part = rest[: ends[number] - start]
            with lock:
                indexes[number].add(part)
            rest = rest[len(part) :]
            start += len(part)
            number += start == ends[number]
    if len(indexes) == 1:
        return indexes[0]
    # Threaded: the devices search at the same time. Successive: their positions follow each other.
    joined = _faiss.IndexShards(indexes[0].d, True, True)
    for index in indexes:
        joined.add_shard(index)
    return joined


class _OnGpu:
    """What both kinds of the GPU have in common."""

    def __init__(self, placed: OnDevices, nbytes: int) -> None:
        self._placed = placed
        self.nbytes = nbytes

    def serves(self, passing_rows: int, reach: int) -> bool:  # noqa: ARG002 - a Core
        """See Core."""
        return False

    def _search(self, queries: Floats, count: int, parameters: Any | None) -> Indices:
        found = self._placed.search(queries, min(count, MAX_SELECTED), parameters)
        return np.pad(found, ((0, 0), (0, count - found.shape[1])), constant_values=-1)


class GpuFlat(_OnGpu):
    """All rows in half precision, all read."""

    most = 1

    def __init__(self, work: Work, devices: Devices) -> None:
        rows, dimension = work.source.rows, work.source.dimension
        super().__init__(
            devices.place(_faiss.IndexFlatIP(dimension), work.chunks(), rows), 2 * rows * dimension
        )

    def search(self, queries: Floats, count: int, reach: int, passing: Mask | None) -> Indices:  # noqa: ARG002 - a Core
        """See Core."""
        assert passing is None
        return self._search(queries, count, None)


class GpuIvf(_OnGpu):
    """As Ivf."""

    def __init__(self, work: Work, devices: Devices) -> None:
        empty = clustered(work)
        self.most = min(empty.nlist, MAX_SELECTED)
        self._rows = work.source.rows
        nbytes = self._rows * (empty.code_size + 8)
        super().__init__(devices.place(empty, work.chunks(), self._rows), nbytes)

    def search(self, queries: Floats, count: int, reach: int, passing: Mask | None) -> Indices:
        """See Core."""
        assert passing is None
        nprobe = min(max(reach, reach_for(count, self.most, self._rows)), self.most)
        return self._search(queries, count, _faiss.SearchParametersIVF(nprobe=nprobe))

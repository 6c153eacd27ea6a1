from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, cast

import faiss
import numpy as np
import pytest

from services.mesh.errors import FailedPrecondition
from services.vectorsearch.indexes.approximate import build
from services.vectorsearch.indexes.devices import MAX_SELECTED, Devices, OnDevices, gpu_count, shared_out
from services.vectorsearch.indexes.kinds import ApproximateKind
from services.vectorsearch.indexes.recall import over_fetch
from services.vectorsearch.kernels import Floats
from tests.vectorsearch.indexes import sources


@pytest.mark.skipif(gpu_count() > 0, reason="there is a GPU")
def test_without_a_gpu_there_are_no_devices() -> None:
    """Who asks for GPUs where there are none is told so."""
    with pytest.raises(FailedPrecondition, match="FAISS finds no GPU here") as refused:
        Devices()
    assert refused.value.reason == "NO_GPU"


@pytest.mark.parametrize("devices", [1, 2, 3, 7])
def test_rows_are_shared_out_in_order(devices: int) -> None:
    """Each device has about as many rows, and their positions are those of the rows."""
    source = sources.source(3000)
    held = sources.everything(source)
    indexes = [faiss.IndexFlatIP(sources.DIMENSION) for _ in range(devices)]
    joined = cast(Any, shared_out(indexes, source.chunks(), source.rows, threading.Lock()))
    assert {index.ntotal - source.rows // devices for index in indexes} <= {0, 1}
    assert joined.ntotal == source.rows
    some = np.arange(0, source.rows, 37)
    _, positions = joined.search(held[some], 1)
    assert np.array_equal(positions[:, 0], some)


def test_more_devices_than_rows_leave_some_empty() -> None:
    """A device without a row does no harm."""
    source = sources.source(2)
    indexes = [faiss.IndexFlatIP(sources.DIMENSION) for _ in range(3)]
    joined = cast(Any, shared_out(indexes, source.chunks(), source.rows, threading.Lock()))
    _, positions = joined.search(sources.everything(source), 1)
    assert positions[:, 0].tolist() == [0, 1]


class Processors:
    """Two devices that are none: indexes of the CPU, filled and searched as those of GPUs are."""

    def place(self, empty: Any, chunks: Iterable[Floats], rows: int) -> OnDevices:
        lock = threading.Lock()
        indexes = [faiss.clone_index(empty) for _ in range(2)]
        return OnDevices(shared_out(indexes, chunks, rows, lock), lock)


@pytest.mark.parametrize("kind", ["gpu_flat", "gpu_ivf"])
def test_indexes_on_devices_find_what_others_find(kind: ApproximateKind) -> None:
    """But for where its rows are, an index of the GPU is as any other: recall, numbers and padding."""
    source = sources.source(5000, first_row=4096)
    index = build(kind, source, devices=cast(Devices, Processors()))
    assert (index.kind, index.rows) == (kind, source.rows)
    assert index.recall_at_10 >= 0.98
    assert not index.serves(source.rows)
    queries = sources.vectors(50, seed=99)
    found = index.candidates(queries, over_fetch(10))
    assert sources.recall(sources.nearest(source, queries, 10), found) >= 0.96
    most = index.candidates(queries[:1], MAX_SELECTED + 5)
    assert most.shape == (1, MAX_SELECTED + 5)
    assert (most[:, MAX_SELECTED:] == -1).all()

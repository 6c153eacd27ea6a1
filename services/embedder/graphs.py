"""Forward passes on a CUDA device: staged in pinned memory, replayed from graphs, copied back once.

A small batch spends most of its time in launching kernels one by one; a graph launches them all at once
(see "Accelerating PyTorch with CUDA Graphs", PyTorch's blog, 2021). Graphs are of fixed size, so batches are
padded to the next bucket. Large batches keep the device busy without them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import structlog
import torch
from torch import Tensor

from services.embedder.images import Pixels

Models = tuple[str, ...]
Forward = Callable[[Tensor, Models], Tensor]

BUCKETS = (1, 2, 4, 8, 16, 32)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Graph:
    """A recorded pass with the memory that it reads and writes."""

    recorded: torch.cuda.CUDAGraph
    pixels: Tensor
    vectors: Tensor


class Graphs:
    """Runs `forward`, uint8 [n, side, side, 3] -> float32 [n, d], on one device for several threads.

    Passes are queued on one stream by one thread at a time; while one is computed the next is staged. Graphs
    are recorded for the `usual` combinations of models alone, when each bucket is first asked for, which a
    warm-up does: each keeps its own activations, so callers must not decide how many there are.
    """

    def __init__(self, forward: Forward, device: torch.device, usual: Collection[Models]) -> None:
        self._forward = forward
        self._usual = usual
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._turn = threading.Lock()
        self._staging = threading.local()
        self._graphs: dict[tuple[Models, int], _Graph] = {}
        self._may_record = True

    def run(self, images: Pixels | Sequence[Pixels], models: Models) -> npt.NDArray[np.float32]:
        """The vectors of n pictures, n >= 1."""
        items = len(images)
        bucket = bucket_of(items)
        pixels = self._staged(images, bucket)
        with self._turn, torch.cuda.stream(self._stream), torch.inference_mode():
            vectors = self._queued(pixels, models)[:items]
            result = torch.empty(vectors.shape, dtype=torch.float32, pin_memory=True)
            result.copy_(vectors, non_blocking=True)
            copied = torch.cuda.Event()
            copied.record(self._stream)
        copied.synchronize()
        return result.numpy()

    def _staged(self, images: Pixels | Sequence[Pixels], bucket: int) -> Tensor:
        """The pictures in this thread's pinned memory, whose last rows are whatever was there before."""
        held: Tensor | None = getattr(self._staging, "pixels", None)
        if held is None or len(held) < bucket or held.shape[1:] != images[0].shape:
            held = torch.zeros((bucket, *images[0].shape), dtype=torch.uint8, pin_memory=True)
            self._staging.pixels = held
        for row, image in zip(held.numpy(), images, strict=False):
            row[...] = image
        return held[:bucket]

    def _queued(self, pixels: Tensor, models: Models) -> Tensor:
        may_replay = models in self._usual and len(pixels) <= BUCKETS[-1]
        graph = self._graph(pixels, models) if may_replay else None
        if graph is None:
            return self._forward(pixels.to(self._device, non_blocking=True), models)
        graph.pixels.copy_(pixels, non_blocking=True)
        graph.recorded.replay()
        return graph.vectors

    def _graph(self, pixels: Tensor, models: Models) -> _Graph | None:
        key = (models, len(pixels))
        if key not in self._graphs and self._may_record:
            try:
                self._graphs[key] = self._recorded(pixels, models)
            except RuntimeError as error:
                # Whatever a driver or a model does not let us record is served as well, only slower.
                _log.warning("cuda_graph_refused", models=models, pictures=len(pixels), error=str(error))
                self._may_record = False
        return self._graphs.get(key)

    def _recorded(self, pixels: Tensor, models: Models) -> _Graph:
        still = pixels.to(self._device)
        # Kernels are chosen and work memory is taken at the first passes, which a graph must not contain.
        for _ in range(2):
            self._forward(still, models)
        self._stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            vectors = self._forward(still, models)
        return _Graph(graph, still, vectors)


def bucket_of(items: int) -> int:
    """To how many a batch is padded; beyond the largest bucket it stays as it is."""
    return next((bucket for bucket in BUCKETS if bucket >= items), items)

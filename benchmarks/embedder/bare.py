"""Times the model without serving. Runs in a process of its own, which idles while a server is measured.

The functions are the tasks of a pool of one process: `prepare` first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.embedder import models
from benchmarks.embedder.models import Forward

# `parallel` is the served model on each core by itself, all of them at once.
Kind = Literal["served", "parallel", "naive"]

MAX_BATCH = 64


@dataclass(frozen=True, slots=True)
class Description:
    """What is measured: device and number format as the server has them, threads as the machine gives."""

    device: str
    dtype: str
    threads: int


_forwards: dict[str, Forward] = {}
_pixels = torch.empty(0)


def prepare(models_dir: Path, pixels: npt.NDArray[np.uint8]) -> Description:
    """Load both models; `pixels` are decoded photos uint8 [n, 224, 224, 3].

    Raises FileNotFoundError where there are no weights.
    """
    global _pixels  # noqa: PLW0603 - tasks of a pool share nothing but the module they are in
    # As often as the largest batch needs; a view would be copied in every batch.
    _pixels = torch.from_numpy(np.resize(pixels, (MAX_BATCH, *pixels.shape[1:])))
    _forwards["served"] = models.served(models_dir)
    _forwards["naive"] = models.naive(models_dir)
    served = _forwards["served"]
    return Description(served.device, served.dtype, torch.get_num_threads())


def rate(kind: Kind, batch: int, seconds: float) -> float:
    """Pictures a second over whole batches of `batch`, for `seconds` at least."""
    if kind == "parallel":
        return _parallel_rate(batch, seconds)
    run = _forwards[kind].run
    images = _pixels[:batch]
    # Kernels are chosen at the first batch of a size.
    run(images)
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        run(images)
        done += batch
    return done / (time.perf_counter() - start)


def sweep(kind: Kind, batches: Sequence[int], passes: int, seconds: float) -> dict[int, float]:
    """Batch -> the median of its `rate` over `passes`, the batches taking turns."""
    rates = [{batch: rate(kind, batch, seconds) for batch in batches} for _ in range(passes)]
    return {batch: float(np.median([each[batch] for each in rates])) for batch in batches}


def singles(count: int) -> list[float]:
    """Seconds of each of `count` calls with one picture."""
    run = _forwards["served"].run
    image = _pixels[:1]
    run(image)
    latencies_s = []
    for _ in range(count):
        start = time.perf_counter()
        run(image)
        latencies_s.append(time.perf_counter() - start)
    return latencies_s


def _parallel_rate(batch: int, seconds: float) -> float:
    """As `rate`, by as many threads as there are cores, each computing on one."""
    threads = torch.get_num_threads()
    ready = threading.Barrier(threads)

    def work(_: int) -> float:
        # Of this thread alone; the number of the others is the machine's.
        torch.set_num_threads(1)
        run, images, done = _forwards["served"].run, _pixels[:batch], 0
        run(images)
        ready.wait()
        start = time.perf_counter()
        while time.perf_counter() - start < seconds:
            run(images)
            done += batch
        return done / (time.perf_counter() - start)

    with ThreadPoolExecutor(threads) as pool:
        rates = list(pool.map(work, range(threads)))
    torch.set_num_threads(threads)
    return sum(rates)

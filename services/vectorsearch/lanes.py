"""Threads that share the work of one batch of searches.

Reading the rows takes most of a search, and one thread cannot read as fast as the memory can.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise
from typing import Protocol

import faiss

# Fewer numbers are read sooner than a thread is woken.
_MIN_NUMBERS = 1 << 18

# Computes the rows from `start` to before `stop`.
Kernel = Callable[[int, int], None]


class Run(Protocol):
    """Runs a kernel over `rows` rows of `width` numbers each, in parts or at once, to the end."""

    def __call__(self, kernel: Kernel, rows: int, width: int) -> None:
        """Returns when every row is computed; raises what the kernel raises."""
        ...


def alone(kernel: Kernel, rows: int, width: int) -> None:  # noqa: ARG001 - a Run
    """All rows in the calling thread."""
    kernel(0, rows)


class Lanes:
    """So many threads, that of the caller among them."""

    def __init__(self, threads: int) -> None:
        self._lanes = threads
        self._helpers = ThreadPoolExecutor(
            max(1, threads - 1), "lane", initializer=faiss.omp_set_num_threads, initargs=(1,)
        )

    def run(self, kernel: Kernel, rows: int, width: int) -> None:
        """See Run."""
        if self._lanes == 1 or rows * width < _MIN_NUMBERS:
            kernel(0, rows)
            return
        cuts = [rows * lane // self._lanes for lane in range(self._lanes + 1)]
        others = [self._helpers.submit(kernel, start, stop) for start, stop in pairwise(cuts[1:])]
        try:
            kernel(0, cuts[1])
        finally:
            # They write into the caller's arrays, so nobody goes on before they have ended.
            wait(others)
        for other in others:
            other.result()

    def shutdown(self) -> None:
        """Let the threads end."""
        self._helpers.shutdown()

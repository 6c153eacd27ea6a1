"""Idle threads lend a hand: a search that runs alone spreads its kernels over them.

Reading the rows takes most of a search, and one thread cannot read as fast as the memory can. Under load
every search keeps to its own thread instead, which gives the most searches a second.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
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
    """The threads that searches share; `threads` of them at most work for one search."""

    def __init__(self, threads: int) -> None:
        self._lanes = threads
        self._lock = threading.Lock()
        self._searches = 0
        self._helpers = ThreadPoolExecutor(
            max(1, threads - 1), "lane", initializer=faiss.omp_set_num_threads, initargs=(1,)
        )

    @contextmanager
    def search(self) -> Iterator[Run]:
        """How to run the kernels of one search, which lasts as long as this."""
        with self._lock:
            self._searches += 1
        try:
            yield self._run
        finally:
            with self._lock:
                self._searches -= 1

    def shutdown(self) -> None:
        """Let the threads end."""
        self._helpers.shutdown()

    def _run(self, kernel: Kernel, rows: int, width: int) -> None:
        if self._searches > 1 or self._lanes == 1 or rows * width < _MIN_NUMBERS:
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

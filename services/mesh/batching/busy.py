"""How busy a device is."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

WINDOW_S = 10.0
_STEP_S = 1.0


class BusyTime:
    """The share of the last `WINDOW_S` seconds in which at least one thread worked. For any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._working = 0
        self._since = clock()
        self._total_s = 0.0
        self._marks = deque([(self._since, 0.0)])

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count the time inside."""
        with self._lock:
            self._advance()
            self._working += 1
        try:
            yield
        finally:
            with self._lock:
                self._advance()
                self._working -= 1

    @property
    def total_s(self) -> float:
        """Busy seconds since the start."""
        with self._lock:
            return self._advance()

    @property
    def ratio(self) -> float:
        """0 to 1 over the window, or since the start where that is shorter."""
        with self._lock:
            total_s = self._advance()
            start, total_then_s = self._marks[0]
            passed_s = self._clock() - start
            return min(1.0, (total_s - total_then_s) / passed_s) if passed_s > 0 else 0.0

    def _advance(self) -> float:
        now = self._clock()
        if self._working:
            self._total_s += now - self._since
        self._since = now
        if now - self._marks[-1][0] >= _STEP_S:
            self._marks.append((now, self._total_s))
        # The oldest mark that is kept is the youngest of those that are a whole window old.
        while len(self._marks) > 1 and self._marks[1][0] <= now - WINDOW_S:
            self._marks.popleft()
        return self._total_s

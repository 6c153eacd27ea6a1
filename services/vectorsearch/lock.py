"""A lock that searches share and the one writer holds alone, fair to both."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class SharedLock:
    """Many readers or one writer.

    A waiting writer goes before readers that come later; the readers that waited through a write go before
    the next one. So neither a stream of searches nor a stream of changes keeps the other out.
    """

    def __init__(self) -> None:
        self._turn = threading.Condition()
        self._readers = 0
        self._readers_waiting = 0
        # Of those that wait, how many have done so through a write: the next one lets them go first.
        self._readers_promised = 0
        self._writers_waiting = 0
        self._writing = False
        self._writes_ended = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Hold the lock together with other readers."""
        with self._turn:
            before = self._writes_ended
            self._readers_waiting += 1
            # Who comes later must not take the place of one that waited and was slow to wake up.
            while self._writing or (self._writers_waiting and self._writes_ended == before):
                self._turn.wait()
            self._readers_waiting -= 1
            if self._writes_ended > before:
                self._readers_promised -= 1
            self._readers += 1
        try:
            yield
        finally:
            with self._turn:
                self._readers -= 1
                self._turn.notify_all()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lock alone."""
        with self._turn:
            self._writers_waiting += 1
            while self._writing or self._readers or self._readers_promised:
                self._turn.wait()
            self._writers_waiting -= 1
            self._writing = True
        try:
            yield
        finally:
            with self._turn:
                self._writing = False
                self._writes_ended += 1
                self._readers_promised = self._readers_waiting
                self._turn.notify_all()

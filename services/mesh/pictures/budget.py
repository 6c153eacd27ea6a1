"""An amount of memory that threads share."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class MemoryBudget:
    """Lets as much work run at once as fits, first come first served. What fits in no case runs alone.

    Work says what it may need at most; nothing is measured.
    """

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._held_bytes = 0
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, size_bytes: int) -> Iterator[None]:
        """Wait until `size_bytes` are free, and keep them as long as the block lasts."""
        ticket = object()
        with self._changed:
            # In turn, since much would otherwise wait as long as little keeps coming.
            self._waiting.append(ticket)
            self._changed.wait_for(
                lambda: (
                    self._waiting[0] is ticket
                    and (not self._held_bytes or self._held_bytes + size_bytes <= self._size_bytes)
                )
            )
            self._waiting.popleft()
            self._held_bytes += size_bytes
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._held_bytes -= size_bytes
                self._changed.notify_all()

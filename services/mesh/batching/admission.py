"""Who is let in: as many items and bytes as there is room for, and nobody who could not be served in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from services.mesh.batching.metrics import FULL_BYTES, FULL_ITEMS, NO_TIME, ItemMetrics
from services.mesh.errors import ResourceExhausted

# How far predictions may be off: who would be served at the last moment is late as often as not.
SAFETY = 1.5
# What a refused caller is told at least: sooner, nothing will have changed.
_MIN_RETRY_S = 0.05


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """The most that is admitted and not yet done with."""

    max_items: int
    max_bytes: int


class Admission:
    """Counts what is inside. Callers come in on one thread, items may leave on any."""

    def __init__(self, limits: AdmissionLimits, metrics: ItemMetrics) -> None:
        self._limits = limits
        self._metrics = metrics
        self._lock = threading.Lock()
        self._items = 0
        self._bytes = 0

    def admit(
        self, items: int, size_bytes: int, *, deadline_at: float, finish_s: Callable[[], float]
    ) -> None:
        """Let a call in, whose items `leave` one by one.

        `finish_s` predicts the seconds until it would be done. Raises ResourceExhausted when there is no room
        or the deadline (of `time.monotonic`) would pass first.
        """
        left_s = max(0.0, deadline_at - time.monotonic())
        predicted_s = finish_s()
        with self._lock:
            # Where nobody else is inside a call is tried whatever is predicted: durations that were learned
            # in a bad moment would otherwise keep everybody out, and never be unlearned.
            in_time = SAFETY * predicted_s <= left_s or not self._items
            no_place = self._items + items > self._limits.max_items
            full = no_place or self._bytes + size_bytes > self._limits.max_bytes
            if not full and in_time:
                self._items += items
                self._bytes += size_bytes
                self._metrics.inflight(self._items)
                return
        if full:
            self._metrics.refused(items, FULL_ITEMS if no_place else FULL_BYTES)
            # By then all that is inside now has gone.
            raise ResourceExhausted(
                f"{self._items} items of {self._bytes} bytes are waiting already, at most"
                f" {self._limits.max_items} of {self._limits.max_bytes} may",
                retry_after_s=max(_MIN_RETRY_S, predicted_s),
            )
        self._metrics.refused(items, NO_TIME)
        raise ResourceExhausted(
            f"an answer would take {predicted_s:.2f} s and is wanted within {left_s:.2f} s",
            retry_after_s=max(_MIN_RETRY_S, SAFETY * predicted_s - left_s),
        )

    def grow(self, size_bytes: int) -> None:
        """Let an item that is inside become larger; raises ResourceExhausted when there is no room for it."""
        with self._lock:
            if self._bytes + size_bytes > self._limits.max_bytes:
                raise ResourceExhausted(
                    f"{self._bytes} bytes are waiting already, at most {self._limits.max_bytes} may"
                )
            self._bytes += size_bytes

    def leave(self, size_bytes: int) -> None:
        """One item is done with."""
        with self._lock:
            self._items -= 1
            self._bytes -= size_bytes
            self._metrics.inflight(self._items)

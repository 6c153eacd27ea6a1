"""A cache in the memory of this process, bounded by bytes; what was used longest ago goes first."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from services.gateway import metrics
from services.gateway.cache.counting import LookupCounter
from services.gateway.cache.interface import Kept, Kind

# Of the key, the record and its place in the dictionary; measured roughly.
OVERHEAD_BYTES = 300


@dataclass(frozen=True, slots=True)
class _Record:
    value: bytes
    put_at_s: float
    ends_at_s: float
    cost_s: float


class MemoryCache:
    """A `Cache` of at most `max_bytes`."""

    def __init__(self, max_bytes: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._records: OrderedDict[bytes, _Record] = OrderedDict()
        self._size_bytes = 0
        self._counter = LookupCounter("memory")

    @property
    def size_bytes(self) -> int:
        """What it holds now."""
        return self._size_bytes

    async def get(self, key: bytes, *, max_age_s: float, kind: Kind = "answer") -> bytes | None:
        """See Cache."""
        record = self._young(key, max_age_s)
        if record is None:
            self._counter.missed(kind)
            return None
        self._counter.hit(kind, record.cost_s)
        self._records.move_to_end(key)
        return record.value

    async def put(self, key: bytes, value: bytes, *, ttl_s: float, cost_s: float = 0.0) -> None:
        """See Cache."""
        self.keep(key, Kept(value, 0.0, ttl_s, cost_s))

    def keep(self, key: bytes, kept: Kept) -> None:
        """Keep a value that another cache had, with its age."""
        size_bytes = len(kept.value) + OVERHEAD_BYTES
        if key in self._records:
            self._drop(key)
        if size_bytes > self._max_bytes or kept.left_s <= 0:
            return
        while self._size_bytes + size_bytes > self._max_bytes:
            self._drop(next(iter(self._records)))
            metrics.CACHE_EVICTIONS.inc()
        now_s = self._clock()
        self._records[key] = _Record(kept.value, now_s - kept.age_s, now_s + kept.left_s, kept.cost_s)
        self._size_bytes += size_bytes
        metrics.CACHE_BYTES.set(self._size_bytes)

    def _young(self, key: bytes, max_age_s: float) -> _Record | None:
        record = self._records.get(key)
        if record is None:
            return None
        now_s = self._clock()
        if now_s >= record.ends_at_s:
            self._drop(key)
            return None
        return None if now_s - record.put_at_s > max_age_s else record

    def _drop(self, key: bytes) -> None:
        self._size_bytes -= len(self._records.pop(key).value) + OVERHEAD_BYTES
        metrics.CACHE_BYTES.set(self._size_bytes)

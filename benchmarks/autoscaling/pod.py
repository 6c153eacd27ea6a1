"""One simulated embedder: the real queue and the real rule of admission, on a clock that is told.

Batches are formed by `services.mesh.batching.batch_queue`, durations learned by its neighbour `durations`;
neither has a clock or threads. `Admission` and `Stage` have both, so what they decide is written here again.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from benchmarks.autoscaling.figures import PodFigures
from services.mesh.batching.admission import SAFETY
from services.mesh.batching.batch_queue import BatchLimits, BatchQueue
from services.mesh.batching.busy import WINDOW_S
from services.mesh.batching.call import Priority
from services.mesh.batching.durations import Durations

_KIND = ("images", ())
_FIRST_GUESS_S = 0.1
# Below this share a pass is over.
_DONE = 1e-9


@dataclass(slots=True, eq=False)
class Item:
    """One call of one image, `index` among the arrivals. To the queue it is a job and its call in one."""

    index: int
    arrived_at: float
    deadline_at: float
    queued_at: float = 0.0
    size_bytes: int = 0
    priority: Priority = Priority.INTERACTIVE
    kind: Hashable = _KIND
    left: bool = False

    @property
    def call(self) -> Item:
        """Itself."""
        return self


@dataclass(slots=True, eq=False)
class _Pass:
    items: list[Item]
    started_at: float
    expected_s: float
    factor: float
    left: float = 1.0


class Pod:
    """An embedder from when it has been told to start. Times are seconds since the simulation's start."""

    def __init__(self, figures: PodFigures, chance: random.Random) -> None:
        self.figures = figures
        self._chance = chance
        self._durations = Durations(_FIRST_GUESS_S)
        # What the warm-up teaches: powers of two, with every pass busy.
        size = 1
        while size <= figures.pass_items:
            self._durations.observe(_KIND, size, figures.shared_s[size - 1])
            size *= 2
        limits = BatchLimits(figures.pass_items, figures.pass_items)
        self._queue: BatchQueue[Any] = BatchQueue(limits, self._durations)
        self._decoders = [0.0] * figures.decode_threads
        self._starts: deque[float] = deque()
        self._running: list[_Pass] = []
        self._since = 0.0
        self._busy: deque[tuple[float, float]] = deque()
        self._busy_since: float | None = None
        self.inside = 0
        self.served_passes = 0
        self.served_items = 0
        self.waited_s = 0.0

    @property
    def waiting(self) -> int:
        """`vitrine_embedder_queue_items`: what is decoded and waits for a pass."""
        return len(self._queue)

    def busy_ratio(self, now: float, since: float) -> float:
        """`vitrine_embedder_device_busy_ratio`: of the last ten seconds, or since it started at `since`."""
        start = max(since, now - WINDOW_S)
        while self._busy and self._busy[0][1] <= now - WINDOW_S:
            self._busy.popleft()
        busy_s = sum(min(end, now) - max(begin, start) for begin, end in self._busy if end > start)
        if self._busy_since is not None:
            busy_s += now - max(self._busy_since, start)
        return min(1.0, busy_s / (now - start)) if now > start else 0.0

    def worked(self, begin: float, end: float) -> None:
        """Note that the device was busy, as it is while the process warms up."""
        self._busy.append((begin, end))

    def admit(self, item: Item, now: float) -> float | None:
        """When the item will be decoded, or None where it is refused.

        As `Host`, `Pipeline` and `Admission` have it: so many calls, so many items, and half as long again as
        predicted within what is left of the deadline, unless nobody else is inside.
        """
        figures = self.figures
        if self.inside >= min(figures.max_calls, figures.max_items):
            return None
        if self.inside and SAFETY * self._predicted_s(now) > item.deadline_at - now:
            return None
        self.inside += 1
        first = min(range(len(self._decoders)), key=self._decoders.__getitem__)
        start = max(now, self._decoders[first])
        self._decoders[first] = start + figures.decode_s
        self._starts.append(start)
        return self._decoders[first]

    def _predicted_s(self, now: float) -> float:
        figures = self.figures
        while self._starts and self._starts[0] <= now:
            self._starts.popleft()
        undecoded = len(self._starts)
        decoding_s = sum(min(figures.decode_s, at - now) for at in self._decoders if at > now)
        decode_s = (decoding_s + undecoded * figures.decode_s) / figures.decode_threads + figures.decode_s
        before, last = divmod(len(self._queue) + undecoded, figures.pass_items)
        ahead_s = sum(max(0.0, each.started_at + each.expected_s - now) for each in self._running)
        ahead_s += before * self._durations.expected_s(_KIND, figures.pass_items)
        return decode_s + ahead_s / figures.passes + self._durations.expected_s(_KIND, last + 1)

    def put(self, item: Item, now: float) -> None:
        """The item is decoded and waits."""
        item.queued_at = now
        self._queue.put(item)

    def advance(self, now: float) -> list[Item]:
        """Let passes run until `now`, which is not after `next_end`; the items of those that ended."""
        self._progress(now)
        done: list[Item] = []
        for each in [each for each in self._running if each.left <= _DONE]:
            self._running.remove(each)
            self._durations.observe(_KIND, len(each.items), now - each.started_at)
            done += each.items
        self.inside -= len(done)
        if not self._running and self._busy_since is not None:
            self._busy.append((self._busy_since, now))
            self._busy_since = None
        return done

    def begin(self, now: float) -> list[Item]:
        """Start passes with what waits while there is a place; the items that were dropped as late."""
        late: list[Item] = []
        while len(self._running) < self.figures.passes and len(self._queue):
            formed = self._queue.form(now)
            late += formed.late
            if not formed.jobs:
                continue
            self._progress(now)
            expected_s = self._durations.expected_s(_KIND, len(formed.jobs))
            factor = self._chance.choice(self.figures.factors)
            self._running.append(_Pass(formed.jobs, now, expected_s, factor))
            self.served_passes += 1
            self.served_items += len(formed.jobs)
            self.waited_s += sum(now - item.queued_at for item in formed.jobs)
            if self._busy_since is None:
                self._busy_since = now
        self.inside -= len(late)
        return late

    def next_end(self) -> float | None:
        """When the first of the passes under way will end if none begins before; None where there is none."""
        if not self._running:
            return None
        return self._since + min(each.left * self._takes_s(each) for each in self._running)

    def _progress(self, now: float) -> None:
        for each in self._running:
            each.left -= (now - self._since) / self._takes_s(each)
        self._since = now

    def _takes_s(self, each: _Pass) -> float:
        """Seconds of the whole pass at the present rate, between those alone and those in full company."""
        figures = self.figures
        place = len(each.items) - 1
        alone_s, shared_s = figures.alone_s[place], figures.shared_s[place]
        if figures.passes == 1:
            return alone_s * each.factor
        company = (len(self._running) - 1) / (figures.passes - 1)
        return (alone_s + company * (shared_s - alone_s)) * each.factor

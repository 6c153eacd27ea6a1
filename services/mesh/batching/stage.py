"""Threads that work on batches of what waits before them."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog

from services.mesh.batching.batch_queue import BatchLimits, BatchQueue, Formed
from services.mesh.batching.call import Job, Priority
from services.mesh.batching.durations import Durations
from services.mesh.batching.metrics import StageMetrics
from services.mesh.errors import DeadlineExceeded, Unavailable, VitrineError

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

# A worker is stuck when its batch takes this many times as long as expected, and never before this long.
PATIENCE = 5.0
MIN_PATIENCE_S = 2.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Running:
    """A batch in hand."""

    started_at: float
    expected_s: float


class Stage(Generic[Item, Outcome]):
    """Workers that turn items into outcomes, a batch at a time, as soon as they are free.

    `work(kind, items)` returns one outcome an item, which may be an error; what it raises is tried again for
    each item alone, so that one bad item cannot fail its batch. Nobody calls a worker stuck before
    `min_patience_s`. With `nice` above 0 the workers, and the threads that they start, give way to others.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Any, list[Item]], Sequence[Outcome | VitrineError]],
        *,
        workers: int,
        limits: BatchLimits,
        durations: Durations,
        metrics: StageMetrics,
        min_patience_s: float = MIN_PATIENCE_S,
        nice: int = 0,
    ) -> None:
        self.name = name
        self.workers = workers
        self._work = work
        self._limits = limits
        self._durations = durations
        self._metrics = metrics
        self._min_patience_s = min_patience_s
        self._nice = nice
        self._queue: BatchQueue[Job[Item, Outcome]] = BatchQueue(limits, durations)
        self._lock = threading.Lock()
        # Workers without work, each asleep on a lock of its own. The last to fall asleep is woken first: what
        # it needs is still in its core's cache.
        self._idle: list[threading.Lock] = []
        self._running: dict[int, _Running] = {}
        self._threads: list[threading.Thread] = []
        self._closed = False
        self.revive()

    def put(self, job: Job[Item, Outcome]) -> None:
        """Let a job wait for its turn. From any thread."""
        job.queued_at = time.monotonic()
        with self._lock:
            closed = self._closed
            if not closed:
                self._queue.put(job)
                self._metrics.waiting(len(self._queue))
                if self._idle:
                    self._idle.pop().release()
        if closed:
            self._refuse(job)

    def waiting(self, priority: Priority) -> int:
        """How many jobs wait that have this priority or go before it."""
        with self._lock:
            return sum(self._queue.waiting(priority).values())

    def finish_s(self, kind: Hashable, items: int, priority: Priority) -> float:
        """Seconds until `items` more of that kind and priority would be done, by what is known now."""
        now = time.monotonic()
        with self._lock:
            waiting = self._queue.waiting(priority)
            running = [each.started_at + each.expected_s - now for each in self._running.values()]
        # All but the last batch are shared among the workers; the last one takes its time.
        before, last = divmod(waiting.pop(kind, 0) + items - 1, self._limits.max_items)
        ahead_s = sum(max(0.0, left_s) for left_s in running)
        ahead_s += before * self._durations.expected_s(kind, self._limits.max_items)
        ahead_s += sum(self._batches_s(other, count) for other, count in waiting.items())
        return ahead_s / self.workers + self._durations.expected_s(kind, last + 1)

    @property
    def stuck(self) -> bool:
        """True when no worker makes progress: each is dead or far beyond the time its batch should take."""
        with self._lock:
            running = dict(self._running)
        now = time.monotonic()
        return all(
            not thread.is_alive()
            or (thread.ident in running and self._is_overdue(running[thread.ident], now))
            for thread in self._threads
        )

    def revive(self) -> int:
        """Replace workers that died; how many."""
        alive = [thread for thread in self._threads if thread.is_alive()]
        dead = self.workers - len(alive)
        if self._closed or not dead:
            return 0
        fresh = [
            threading.Thread(target=self._serve, name=f"{self.name}-{number}", daemon=True)
            for number in range(dead)
        ]
        self._threads = alive + fresh
        for thread in fresh:
            thread.start()
        return dead

    def close(self) -> None:
        """Answer what waits with Unavailable and end the workers once their batches are done."""
        with self._lock:
            self._closed = True
            waiting = list(self._queue.drain())
            while self._idle:
                self._idle.pop().release()
        for job in waiting:
            self._refuse(job)

    def _batches_s(self, kind: Hashable, items: int) -> float:
        full, rest = divmod(items, self._limits.max_items)
        return full * self._durations.expected_s(kind, self._limits.max_items) + (
            self._durations.expected_s(kind, rest) if rest else 0.0
        )

    def _serve(self) -> None:
        me = threading.get_ident()
        # Elsewhere a thread has no niceness of its own, and its number may be that of a process.
        if self._nice and sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._nice)
        while (formed := self._take(me)) is not None:
            for job in formed.left:
                self._end(job, DeadlineExceeded("the caller left while the item waited for its turn"))
            for job in formed.late:
                self._end(job, DeadlineExceeded("the deadline passed, or would have, before the item's turn"))
            if formed.jobs:
                self._run(me, formed)

    def _take(self, me: int) -> Formed[Job[Item, Outcome]] | None:
        while True:
            with self._lock:
                if self._closed:
                    return None
                now = time.monotonic()
                formed = self._queue.form(now)
                if formed.jobs:
                    expected_s = self._durations.expected_s(formed.kind, len(formed.jobs))
                    self._running[me] = _Running(now, expected_s)
                if formed.jobs or formed.dropped:
                    self._metrics.waiting(len(self._queue))
                    return formed
                asleep = threading.Lock()
                asleep.acquire()
                self._idle.append(asleep)
            asleep.acquire()

    def _run(self, me: int, formed: Formed[Job[Item, Outcome]]) -> None:
        jobs = formed.jobs
        started_at = time.monotonic()
        queue_s = [started_at - job.queued_at for job in jobs]
        self._metrics.formed(queue_s)
        try:
            with self._metrics.busy.working():
                outcomes = self._attempt(formed.kind, [job.item for job in jobs])
        except BaseException:
            # The thread is being killed. Its callers must hear of it, then it may die and be replaced.
            for job in jobs:
                self._end(job, Unavailable("the worker died", retry_after_s=0.5))
            raise
        finally:
            with self._lock:
                self._running.pop(me, None)
        took_s = time.monotonic() - started_at
        for job, waited_s, outcome in zip(jobs, queue_s, outcomes, strict=True):
            job.call.took(f"{self.name}_queue", waited_s)
            job.call.took(self.name, took_s)
            self._end(job, outcome)

    def _refuse(self, job: Job[Item, Outcome]) -> None:
        self._end(job, Unavailable("the server is stopping"))

    def _end(self, job: Job[Item, Outcome], outcome: Outcome | VitrineError) -> None:
        try:
            job.done(outcome)
        except Exception as error:  # noqa: BLE001 - the others of its batch are waiting for theirs
            _log.error("an outcome was not taken", stage=self.name, exc_info=error)

    def _attempt(self, kind: Hashable, items: list[Item]) -> Sequence[Outcome | VitrineError]:
        started_at = time.monotonic()
        try:
            outcomes = self._work(kind, items)
        except Exception as error:  # noqa: BLE001 - whatever one item does, its batch and the worker live on
            if len(items) == 1:
                return [self._told(error)]
            return [outcome for item in items for outcome in self._attempt(kind, [item])]
        self._durations.observe(kind, len(items), time.monotonic() - started_at)
        return outcomes

    def _is_overdue(self, running: _Running, now: float) -> bool:
        return now - running.started_at > max(self._min_patience_s, PATIENCE * running.expected_s)

    def _told(self, error: Exception) -> VitrineError:
        if isinstance(error, VitrineError):
            return error
        _log.error("an item failed", stage=self.name, exc_info=error)
        return VitrineError("internal error; the server's log has it")

"""The jobs that wait before a stage, and which of them make the next batch. No threads, no clock."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from services.mesh.batching.call import Job, Priority
from services.mesh.batching.durations import Durations

# The share of the time that bulk work gets while interactive work waits too.
BULK_SHARE = 0.25
# Bulk jobs fill places that an interactive batch leaves empty, as long as it hardly takes longer for it.
RIDE_ALONG = 1.1

AnyJob = TypeVar("AnyJob", bound=Job[Any, Any])


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The most that one batch holds. A lone job may have more bytes than that."""

    max_items: int
    max_bytes: int


@dataclass(slots=True)
class Formed(Generic[AnyJob]):
    """A batch, all of one kind, and the jobs that were dropped when it was formed."""

    jobs: list[AnyJob] = field(default_factory=list)
    left: list[AnyJob] = field(default_factory=list)
    late: list[AnyJob] = field(default_factory=list)

    @property
    def kind(self) -> Hashable:
        """What the jobs have in common."""
        return self.jobs[0].kind

    @property
    def dropped(self) -> bool:
        """Whether there is a job to tell that it was dropped."""
        return bool(self.left or self.late)


class BatchQueue(Generic[AnyJob]):
    """First come, first served within a priority; a batch is as large as its most urgent job permits.

    Where more than a batch waits, it is full, and who has no time for that is dropped.

    Interactive jobs go before bulk ones, which still get `BULK_SHARE` of the time. One thread at a time.
    """

    def __init__(self, limits: BatchLimits, durations: Durations) -> None:
        self._limits = limits
        self._durations = durations
        self._lines: dict[tuple[Priority, Hashable], deque[AnyJob]] = {}
        self._waiting = 0
        self._bulk_is_owed_s = 0.0

    def __len__(self) -> int:
        return self._waiting

    def put(self, job: AnyJob) -> None:
        """Let a job wait. How many may is `Admission`'s business."""
        self._lines.setdefault((job.call.priority, job.kind), deque()).append(job)
        self._waiting += 1

    def form(self, now: float) -> Formed[AnyJob]:
        """The next batch at `now` (`time.monotonic`), without jobs when nothing worth doing waits."""
        formed: Formed[AnyJob] = Formed()
        while self._waiting and not formed.jobs:
            priority, kind = self._next_line()
            self._fill(formed, priority, kind, now, within_s=math.inf)
        if formed.jobs and formed.jobs[0].call.priority is Priority.INTERACTIVE:
            within_s = RIDE_ALONG * self._durations.expected_s(formed.kind, len(formed.jobs))
            self._fill(formed, Priority.BULK, formed.kind, now, within_s=within_s)
        if formed.jobs:
            self._settle_accounts(formed)
        return formed

    def waiting(self, at_most: Priority) -> dict[Hashable, int]:
        """Jobs by kind that have this priority or go before it."""
        counts: dict[Hashable, int] = {}
        if self._waiting:
            for (priority, kind), line in self._lines.items():
                if priority <= at_most:
                    counts[kind] = counts.get(kind, 0) + len(line)
        return counts

    def _next_line(self) -> tuple[Priority, Hashable]:
        """The line of the job that has waited longest in the priority whose turn it is."""
        oldest: dict[Priority, tuple[float, Hashable]] = {}
        for (priority, kind), line in self._lines.items():
            since = line[0].queued_at
            if priority not in oldest or since < oldest[priority][0]:
                oldest[priority] = (since, kind)
        priority = min(oldest)
        if len(oldest) > 1:
            kind = oldest[Priority.BULK][1]
            items = min(len(self._lines[Priority.BULK, kind]), self._limits.max_items)
            if self._bulk_is_owed_s >= self._durations.expected_s(kind, items):
                priority = Priority.BULK
        return priority, oldest[priority][1]

    def _fill(
        self,
        formed: Formed[AnyJob],
        priority: Priority,
        kind: Hashable,
        now: float,
        *,
        within_s: float,
    ) -> None:
        """Move jobs of a line into the batch while it stays within the limits and everybody's deadline."""
        line = self._lines.get((priority, kind))
        if line is None:
            return
        size_bytes = sum(job.size_bytes for job in formed.jobs)
        soonest = min((job.call.deadline_at for job in formed.jobs), default=math.inf)
        while line and len(formed.jobs) < self._limits.max_items:
            job = line[0]
            deadline_at = job.call.deadline_at
            if job.call.left:
                formed.left.append(job)
            elif deadline_at <= now or self._is_hopeless(job, len(line), now):
                formed.late.append(job)
            else:
                takes_s = self._durations.expected_s(kind, len(formed.jobs) + 1)
                too_slow = takes_s > within_s or now + takes_s > min(soonest, deadline_at)
                if formed.jobs and (too_slow or size_bytes + job.size_bytes > self._limits.max_bytes):
                    break
                formed.jobs.append(job)
                size_bytes += job.size_bytes
                soonest = min(soonest, deadline_at)
            line.popleft()
            self._waiting -= 1
        if not line:
            del self._lines[priority, kind]

    def _is_hopeless(self, job: AnyJob, waiting: int, now: float) -> bool:
        """True when a job cannot be done in time and something else can use the device instead.

        While more than a batch of its kind is `waiting`, a job must have time for a full batch: small batches
        for the most urgent would get less done, and make the next ones still more urgent. A lone job is tried
        in any case: durations that were learned under load would otherwise never be unlearned.
        """
        items = self._limits.max_items if waiting > self._limits.max_items else 1
        hopeless = job.call.deadline_at < now + self._durations.expected_s(job.kind, items)
        return hopeless and self._waiting > 1

    def _settle_accounts(self, formed: Formed[AnyJob]) -> None:
        takes_s = self._durations.expected_s(formed.kind, len(formed.jobs))
        if formed.jobs[0].call.priority is Priority.BULK:
            self._bulk_is_owed_s = max(0.0, self._bulk_is_owed_s - takes_s)
        elif any(priority is Priority.BULK for priority, _ in self._lines):
            self._bulk_is_owed_s += takes_s * BULK_SHARE / (1 - BULK_SHARE)
        else:
            self._bulk_is_owed_s = 0.0

    def drain(self) -> Iterator[AnyJob]:
        """Every job that waits, which it then no longer does."""
        for line in self._lines.values():
            yield from line
        self._lines.clear()
        self._waiting = 0

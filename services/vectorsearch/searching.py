"""Searches wait for each other: what comes while others are being answered is answered together."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from functools import partial

from services.mesh import deadline, stages
from services.mesh.batching.admission import Admission, AdmissionLimits
from services.mesh.batching.batch_queue import BatchLimits
from services.mesh.batching.call import Call, Job, Priority
from services.mesh.batching.durations import Durations
from services.mesh.batching.stage import Stage
from services.mesh.errors import VitrineError
from services.vectorsearch import metrics
from services.vectorsearch.answering import Answerer
from services.vectorsearch.requests import Search
from vitrine.v1 import vectorsearch_pb2

Outcome = vectorsearch_pb2.SearchVectorsResponse | VitrineError

MAX_BATCH = 64

# Taken until the first batches were answered.
_GUESS_S = 0.005
_MAX_BATCH_BYTES = 64 << 20


class Searching:
    """The way of a search from its caller to an answerer's thread and back."""

    def __init__(self, answerer: Answerer, limits: AdmissionLimits) -> None:
        self._admission = Admission(limits, metrics.ITEMS)
        self.stage: Stage[Search, vectorsearch_pb2.SearchVectorsResponse] = Stage(
            "search",
            answerer.answer,
            # One batch at a time, on all threads: of two under way each would be half as large, take almost
            # as long, and want the interpreter while the other has it.
            workers=1,
            limits=BatchLimits(MAX_BATCH, _MAX_BATCH_BYTES),
            durations=Durations(_GUESS_S),
            metrics=metrics.SEARCH,
        )

    async def search(self, searches: Sequence[Search]) -> list[Outcome]:
        """The outcome of each search, in order.

        Raises ResourceExhausted at once when too much is waiting or they could not be answered in time, and
        DeadlineExceeded when the deadline has passed already.
        """
        deadline_at = time.monotonic() + deadline.remaining_s(math.inf)
        sizes = [each.size_bytes for each in searches]
        self._admission.admit(
            len(searches),
            sum(sizes),
            deadline_at=deadline_at,
            finish_s=lambda: self.stage.finish_s(searches[0].kind, len(searches), Priority.INTERACTIVE),
        )
        call: Call[Outcome] = Call(len(searches), priority=Priority.INTERACTIVE, deadline_at=deadline_at)
        for index, (each, size_bytes) in enumerate(zip(searches, sizes, strict=True)):
            done = partial(self._end, call, index, size_bytes)
            self.stage.put(Job(call, each.kind, each, size_bytes, done))
        outcomes = await call.outcomes()
        for outcome in outcomes:
            if not isinstance(outcome, VitrineError):
                metrics.SEARCHES.labels(outcome.plan).inc()
                stages.tell(outcome.stages)
        return outcomes

    def close(self) -> None:
        """Answer what waits with Unavailable; what is being searched is finished."""
        self.stage.close()

    def _end(self, call: Call[Outcome], index: int, size_bytes: int, outcome: Outcome) -> None:
        self._admission.leave(size_bytes)
        metrics.ITEMS.ended(outcome, left=call.left)
        call.settle(index, outcome)

"""Jobs for tests of batching."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

from services.mesh.batching.call import Call, Job, Priority


def call(
    priority: Priority = Priority.INTERACTIVE, deadline_at: float = math.inf, items: int = 1
) -> Call[Any]:
    """A call on the running loop, or on one of its own that never runs."""
    try:
        return Call(items, priority=priority, deadline_at=deadline_at)
    except RuntimeError:
        loop = asyncio.new_event_loop()

        async def make() -> Call[Any]:
            return Call(items, priority=priority, deadline_at=deadline_at)

        try:
            return loop.run_until_complete(make())
        finally:
            loop.close()


def job(
    item: Any = "item",
    *,
    kind: Hashable = "kind",
    priority: Priority = Priority.INTERACTIVE,
    deadline_at: float = math.inf,
    size_bytes: int = 1,
    queued_at: float = 0.0,
    done: Callable[[Any], None] = lambda outcome: None,
) -> Job[Any, Any]:
    """A job of a call of its own."""
    return Job(call(priority, deadline_at), kind, item, size_bytes, done, queued_at)


def put_all(stage: Any, jobs: list[Any], *, kind: Hashable = "kind") -> Call[Any]:
    """One call whose items are put into a stage."""
    whole = call(items=len(jobs))
    for index, item in enumerate(jobs):
        stage.put(Job(whole, kind, item, 1, partial(whole.settle, index)))
    return whole

"""Work that goes on beside what a process is for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any


@asynccontextmanager
async def beside(
    *works: Callable[[], Coroutine[Any, Any, None]], on_failure: Callable[[], None]
) -> AsyncIterator[None]:
    """Do works without an end meanwhile; they are cancelled on leaving.

    Should one fail or end, `on_failure` is called at once, and leaving raises the cause.
    """
    tasks = [asyncio.create_task(work()) for work in works]
    for task in tasks:
        task.add_done_callback(lambda done: None if done.cancelled() else on_failure())
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            with suppress(asyncio.CancelledError):
                task.result()

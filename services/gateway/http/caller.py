"""Notices a caller who leaves, so that nobody works on for them: gRPC does it by itself, ASGI only tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.types import Message, Receive


class CallerLeft(Exception):
    """The caller closed the connection before the answer began."""


@asynccontextmanager
async def present(receive: Receive, answered: Callable[[], bool]) -> AsyncIterator[Receive]:
    """A `receive` to read the body with; once it is read, the block is left when the caller leaves.

    `answered` says whether the answer has begun, after which the end of the connection means nothing.
    Raises CallerLeft.
    """
    work = asyncio.current_task()
    watching: asyncio.Task[None] | None = None
    left = False

    async def watch() -> None:
        nonlocal left
        while (await receive())["type"] != "http.disconnect":
            pass
        if work is not None and not answered():
            left = True
            work.cancel()

    async def read() -> Message:
        nonlocal watching
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            watching = asyncio.create_task(watch())
        return message

    try:
        yield read
    except asyncio.CancelledError:
        # Another cancellation, such as that of the deadline, goes on as one.
        if work is None or not left or work.uncancel():
            raise
        raise CallerLeft from None
    finally:
        if watching is not None:
            watching.cancel()

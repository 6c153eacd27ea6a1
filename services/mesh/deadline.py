"""The deadline of the request in hand, known to everything that is done for it.

gRPC for Python does not carry deadlines over hops; the server sets this on arrival and
`services.mesh.channel` hands what remains to the next hop.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from services.mesh.errors import DeadlineExceeded

_at: ContextVar[float | None] = ContextVar("vitrine_deadline", default=None)


@contextmanager
def within(timeout_s: float) -> Iterator[None]:
    """Let what runs inside end within `timeout_s`, or at the deadline already set, whichever is earlier."""
    at = time.monotonic() + timeout_s
    outer = _at.get()
    token = _at.set(at if outer is None else min(at, outer))
    try:
        yield
    finally:
        _at.reset(token)


def remaining_s(at_most_s: float) -> float:
    """Seconds left, `at_most_s` at most.

    Raises DeadlineExceeded when none is left.
    """
    at = _at.get()
    if at is None:
        return at_most_s
    left = at - time.monotonic()
    if left <= 0:
        raise DeadlineExceeded("the deadline of the request has passed")
    return min(left, at_most_s)

"""The trace a request belongs to, carried over hops in the W3C `traceparent` header.

Source: https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import random
import re
from contextvars import ContextVar

HEADER = "traceparent"

# Ids only have to differ; the system's own source of secrets takes longer than all else that a hop needs.
_ids = random.Random(random.SystemRandom().getrandbits(256))

_PARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_trace_id: ContextVar[str] = ContextVar("vitrine_trace_id", default="")


def begin(parent: str | None = None) -> str:
    """Enter the trace of `parent`, a traceparent header, or else a new one; its id (32 hex digits)."""
    match = _PARENT.fullmatch(parent) if parent else None
    trace_id = match.group(1) if match and set(match.group(1)) != {"0"} else f"{_ids.getrandbits(128):032x}"
    _trace_id.set(trace_id)
    return trace_id


def current() -> str:
    """The present trace id, or an empty string outside of any."""
    return _trace_id.get()


def header() -> str:
    """The traceparent of a call made now, beginning a trace when outside of any."""
    return f"00-{_trace_id.get() or begin()}-{_ids.getrandbits(64):016x}-01"

"""The trace a request belongs to, carried over hops in the W3C `traceparent` header.

Whether a request is recorded, as spans, is decided once, by the first service that it comes to and that has
somewhere to send spans; those behind follow. The spans themselves are made by `services.mesh.tracing`.

Source: https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Literal, NamedTuple, Protocol

HEADER = "traceparent"
# With answers; and with calls of which nobody has decided yet whether they are recorded.
ID_HEADER = "trace-id"

Kind = Literal["server", "client", "internal"]
Attributes = Mapping[str, str | int]

# Ids only have to differ; the system's own source of secrets takes longer than all else that a hop needs.
_ids = random.Random(random.SystemRandom().getrandbits(256))

_PARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
_SAMPLED = 1


class Span(Protocol):
    """One recorded step of a request."""

    def end(
        self, attributes: Attributes, *, name: str = "", error: str = "", end_ns: int | None = None
    ) -> None:
        """End it, now or at `end_ns`, with what is known by now; `error` is why it failed, in one word."""
        ...

    def __enter__(self) -> object:
        """Have it end with the block."""
        ...

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """End it, failed where the block has."""
        ...


class Recorder(Protocol):
    """Who makes spans: `services.mesh.tracing.Recorder`."""

    def samples(self, trace_id: str) -> bool:
        """Whether a trace that begins here is to be recorded."""
        ...

    def start(
        self, kind: Kind, name: str, attributes: Attributes, *, start_ns: int | None = None
    ) -> Span | None:
        """Begin a step of the present trace, and be it until it ends; None for a trace too many."""
        ...


class Trace(NamedTuple):
    """A trace as one step of it knows it."""

    id: str
    """32 hex digits."""
    span: str
    """What calls made now are children of, in 16 hex digits; empty where nothing was recorded yet."""
    is_sampled: bool | None
    """Whether it is recorded; None while nobody has decided."""


NO_SPAN: AbstractContextManager[None] = nullcontext()

_present: ContextVar[Trace | None] = ContextVar("vitrine_trace", default=None)
_recorder: Recorder | None = None


def record_by(recorder: Recorder | None) -> None:
    """Let `recorder` make the spans of this process, or nobody."""
    global _recorder  # noqa: PLW0603 - a process has one, or none
    _recorder = recorder


def begin(parent: str | None = None, trace_id: str | None = None) -> str:
    """Enter the trace of `parent`, a traceparent header, or that of an id, or else a new one; its id.

    An id is 32 hex digits. What is neither is ignored.
    """
    if parent and (match := _PARENT.fullmatch(parent)):
        found, span, flags = match.groups()
        _present.set(Trace(found, span, bool(int(flags, 16) & _SAMPLED)))
        return found
    found = trace_id if trace_id and _ID.fullmatch(trace_id) else f"{_ids.getrandbits(128):032x}"
    _present.set(Trace(found, "", _recorder.samples(found) if _recorder is not None else None))
    return found


def present() -> Trace | None:
    """The present trace, or None outside of any."""
    return _present.get()


def enter(trace: Trace | None) -> None:
    """Make this the present trace."""
    _present.set(trace)


def current() -> str:
    """The present trace id, or an empty string outside of any."""
    trace = _present.get()
    return trace.id if trace is not None else ""


def is_recorded() -> bool:
    """Whether spans are made of the request in hand."""
    if _recorder is None:
        return False
    trace = _present.get()
    return trace is not None and trace.is_sampled is True


def start(
    kind: Kind, name: str, attributes: Attributes | None = None, *, start_ns: int | None = None
) -> Span | None:
    """A span of the request in hand, which is the present one until it ends; None where none are made.

    It begins now or at `start_ns`, nanoseconds since 1970.
    """
    if _recorder is None or not is_recorded():
        return None
    return _recorder.start(kind, name, attributes or {}, start_ns=start_ns)


def propagated() -> tuple[str, str]:
    """What a call made now carries: the name and the value of a header.

    It begins a trace outside of any. In a service that is the work of nobody's request, such as looking
    after others every second, which is not recorded.
    """
    trace = _present.get()
    if trace is None:
        trace = Trace(begin(), "", None if _recorder is None else False)
        _present.set(trace)
    if trace.is_sampled is None:
        return ID_HEADER, trace.id
    span = trace.span or f"{_ids.getrandbits(64):016x}"
    return HEADER, f"00-{trace.id}-{span}-{'01' if trace.is_sampled else '00'}"

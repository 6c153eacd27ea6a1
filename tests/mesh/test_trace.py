from __future__ import annotations

import contextvars

import pytest

from services.mesh import trace

_PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(autouse=True)
def _outside_of_any_trace() -> None:
    trace._trace_id.set("")


def test_a_parent_is_joined() -> None:
    """A valid header puts us into its trace, and our own calls carry it on under a new span."""
    assert trace.begin(_PARENT) == "4bf92f3577b34da6a3ce929d0e0e4736" == trace.current()
    version, trace_id, span, flags = trace.header().split("-")
    assert (version, trace_id, flags) == ("00", trace.current(), "01")
    assert len(span) == 16
    assert span != "00f067aa0ba902b7"


@pytest.mark.parametrize(
    "parent", [None, "", "nonsense", _PARENT.upper(), f"00-{'0' * 32}-{'1' * 16}-01", f"{_PARENT}x"]
)
def test_anything_else_begins_a_trace(parent: str | None) -> None:
    """What is no traceparent (all zeros are forbidden) is ignored."""
    found = trace.begin(parent)
    assert len(found) == 32
    assert found not in {"0" * 32, "4bf92f3577b34da6a3ce929d0e0e4736"}


def test_a_call_outside_of_any_trace_begins_one() -> None:
    """Every call can be followed."""
    assert trace.current() == ""
    assert trace.header().split("-")[1] == trace.current()


def test_traces_of_different_contexts_are_apart() -> None:
    """Requests handled at once do not share a trace."""
    outer = trace.begin()
    inner = contextvars.copy_context().run(trace.begin)
    assert inner != outer == trace.current()

from __future__ import annotations

import contextvars
from collections.abc import Iterator

import pytest

from services.mesh import trace

_ID, _SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
_PARENT = f"00-{_ID}-{_SPAN}-01"


class Recorder:
    """Samples what ends with an even digit, and counts the spans it was asked for."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def samples(self, trace_id: str) -> bool:
        return int(trace_id, 16) % 2 == 0

    def start(
        self, kind: trace.Kind, name: str, attributes: trace.Attributes, *, start_ns: int | None = None
    ) -> trace.Span:
        self.started.append(name)
        raise NotImplementedError


@pytest.fixture(autouse=True)
def _outside_of_any_trace() -> Iterator[None]:
    trace.enter(None)
    yield
    trace.record_by(None)
    trace.enter(None)


@pytest.mark.parametrize("flags", ["00", "01"])
def test_a_parent_is_joined(flags: str) -> None:
    """A valid header puts us into its trace, and our calls carry on what it says where we make no spans."""
    assert trace.begin(f"00-{_ID}-{_SPAN}-{flags}") == _ID == trace.current()
    assert trace.propagated() == (trace.HEADER, f"00-{_ID}-{_SPAN}-{flags}")


@pytest.mark.parametrize(
    "parent",
    [
        None,
        "",
        "nonsense",
        _PARENT.upper(),
        f"00-{'0' * 32}-{'1' * 16}-01",
        f"00-{_ID}-{'0' * 16}-01",
        f"{_PARENT}x",
        f"{_PARENT}\n",
    ],
)
def test_anything_else_begins_a_trace(parent: str | None) -> None:
    """What is no traceparent (all zeros are forbidden) is ignored."""
    found = trace.begin(parent)
    assert len(found) == 32
    assert found not in {"0" * 32, _ID}


def test_a_trace_of_which_nobody_has_decided_goes_on_so() -> None:
    """Without anywhere to send spans, only the id is passed on: whoever has decides."""
    trace.begin(trace_id=_ID)
    assert trace.propagated() == (trace.ID_HEADER, _ID)
    trace.begin(trace_id="nonsense")
    assert trace.propagated() == (trace.ID_HEADER, trace.current()) != (trace.ID_HEADER, "nonsense")


@pytest.mark.parametrize(("digit", "flags"), [("4", "01"), ("5", "00")])
def test_the_first_that_can_record_decides(digit: str, flags: str) -> None:
    """The flag that goes on is what was decided by the trace id."""
    trace.record_by(Recorder())
    trace.begin(trace_id=f"{_ID[:-1]}{digit}")
    name, header = trace.propagated()
    assert (name, header[3:35], header[-2:]) == (trace.HEADER, f"{_ID[:-1]}{digit}", flags)
    assert trace.is_recorded() == (flags == "01")


@pytest.mark.parametrize("digit", ["4", "5"])
@pytest.mark.parametrize("flags", ["00", "01", "02", "03"])
def test_what_a_caller_decided_holds(digit: str, flags: str) -> None:
    """By the flag for samples alone, whatever we would have decided."""
    trace.record_by(Recorder())
    trace.begin(f"00-{_ID[:-1]}{digit}-{_SPAN}-{flags}")
    assert trace.is_recorded() == (flags in {"01", "03"})


def test_no_span_is_made_of_what_is_not_recorded() -> None:
    """Neither outside of any trace, nor in one that is not sampled, nor without a recorder."""
    trace.begin(_PARENT)
    assert trace.start("internal", "rank") is None
    recorder = Recorder()
    trace.record_by(recorder)
    trace.begin(f"00-{_ID}-{_SPAN}-00")
    assert trace.start("internal", "rank") is None
    trace.enter(None)
    assert trace.start("internal", "rank") is None
    assert not recorder.started


def test_a_call_outside_of_any_trace_begins_one() -> None:
    """Every call can be followed."""
    assert trace.current() == ""
    assert trace.propagated() == (trace.ID_HEADER, trace.current())
    assert len(trace.current()) == 32


def test_what_a_service_does_for_no_request_is_not_recorded() -> None:
    """A loop that looks after others would be one trace without an end."""
    trace.record_by(Recorder())
    for _ in range(20):
        trace.enter(None)
        assert trace.propagated()[1].endswith("-00")


def test_traces_of_different_contexts_are_apart() -> None:
    """Requests handled at once do not share a trace."""
    outer = trace.begin()
    inner = contextvars.copy_context().run(trace.begin)
    assert inner != outer == trace.current()

from __future__ import annotations

import math
import time

import pytest
from prometheus_client import CollectorRegistry

from services.mesh.batching.admission import Admission, AdmissionLimits
from services.mesh.batching.metrics import ItemMetrics
from services.mesh.errors import DeadlineExceeded, InvalidArgument, ResourceExhausted, VitrineError


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def admission(registry: CollectorRegistry) -> Admission:
    return Admission(AdmissionLimits(max_items=4, max_bytes=100), ItemMetrics("test", registry))


def admit(
    admission: Admission,
    items: int = 1,
    size_bytes: int = 1,
    *,
    deadline_at: float = math.inf,
    takes_s: float = 0.5,
) -> None:
    admission.admit(items, size_bytes, deadline_at=deadline_at, finish_s=lambda: takes_s)


@pytest.mark.parametrize(("items", "size_bytes"), [(3, 1), (1, 60)])
def test_beyond_items_or_bytes_callers_are_refused_until_some_leave(
    admission: Admission, registry: CollectorRegistry, items: int, size_bytes: int
) -> None:
    """A refusal is immediate, says when to come back, and counts; room that is left is given again."""
    admit(admission, items, size_bytes)
    with pytest.raises(ResourceExhausted) as refused:
        admit(admission, items, size_bytes)
    assert refused.value.retry_after_s == pytest.approx(0.5)
    assert registry.get_sample_value("test_items_total", {"outcome": "refused"}) == items
    assert registry.get_sample_value("test_inflight") == items
    for _ in range(items):
        admission.leave(size_bytes // items)
    admit(admission, items, size_bytes)


def test_who_could_not_be_served_in_time_is_refused_at_once(admission: Admission) -> None:
    """The predicted time is compared with what is left, and the excess is when to come back."""
    soon = time.monotonic() + 2
    admit(admission, deadline_at=soon, takes_s=0.1)
    with pytest.raises(ResourceExhausted) as refused:
        admit(admission, deadline_at=soon, takes_s=60)
    assert refused.value.retry_after_s >= 58


def test_an_item_may_grow_as_far_as_there_is_room(admission: Admission) -> None:
    """What is fetched later counts when it is there."""
    admit(admission, 1, 0)
    admission.grow(90)
    with pytest.raises(ResourceExhausted):
        admission.grow(20)
    admission.leave(90)
    admission.grow(20)


@pytest.mark.parametrize(
    ("outcome", "left", "name"),
    [
        ({"clip": 1}, False, "ok"),
        ({"clip": 1}, True, "left"),
        (InvalidArgument("image", "is none"), False, "bad"),
        (DeadlineExceeded("late"), False, "late"),
        (VitrineError("?"), False, "failed"),
    ],
)
def test_items_are_counted_by_how_they_ended(
    registry: CollectorRegistry, outcome: object, left: bool, name: str
) -> None:
    """Each end has a name of its own, and all exist from the start at zero."""
    metrics = ItemMetrics("test", registry)
    assert registry.get_sample_value("test_items_total", {"outcome": name}) == 0
    metrics.ended(outcome, left=left)
    assert registry.get_sample_value("test_items_total", {"outcome": name}) == 1


def test_a_call_is_tried_when_nobody_else_is_inside(admission: Admission) -> None:
    """However long things took in a bad moment, somebody gets in and shows how long they take now."""
    soon = time.monotonic() + 2
    admit(admission, deadline_at=soon, takes_s=60)
    with pytest.raises(ResourceExhausted):
        admit(admission, deadline_at=soon, takes_s=60)
    admission.leave(1)
    admit(admission, deadline_at=soon, takes_s=60)

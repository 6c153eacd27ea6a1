from __future__ import annotations

import math
import time

import pytest
from prometheus_client import CollectorRegistry

from services.mesh.batching import metrics
from services.mesh.batching.admission import Admission, AdmissionLimits
from services.mesh.batching.metrics import ItemMetrics
from services.mesh.errors import DeadlineExceeded, InvalidArgument, ResourceExhausted, VitrineError

LIMITS = AdmissionLimits(max_items=4, max_bytes=100)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def rejected(registry: CollectorRegistry, reason: str) -> float | None:
    return registry.get_sample_value("test_rejected_total", {"reason": reason})


@pytest.mark.parametrize(
    ("items", "size_bytes", "left_s", "reason"),
    [
        (4, 1, math.inf, metrics.FULL_ITEMS),
        (1, 200, math.inf, metrics.FULL_BYTES),
        (2, 1, 1.0, metrics.NO_TIME),
    ],
)
def test_who_is_refused_at_the_door_counts_by_what_was_missing(
    registry: CollectorRegistry, items: int, size_bytes: int, left_s: float, reason: str
) -> None:
    """Places, bytes and time are told apart, since each is mended in another way."""
    admission = Admission(LIMITS, ItemMetrics("test", registry))
    admission.admit(1, 1, deadline_at=math.inf, finish_s=lambda: 0.0)
    with pytest.raises(ResourceExhausted):
        admission.admit(
            items, size_bytes, deadline_at=time.monotonic() + left_s, finish_s=lambda: 3600.0 / left_s
        )
    others = {metrics.FULL_ITEMS, metrics.FULL_BYTES, metrics.NO_TIME} - {reason}
    assert rejected(registry, reason) == items
    assert [rejected(registry, other) for other in others] == [0, 0]


@pytest.mark.parametrize(
    ("outcome", "left", "reason", "count"),
    [
        (InvalidArgument("image", "is too large", reason="TOO_LARGE"), False, "too_large", 1),
        (DeadlineExceeded("late"), False, metrics.EXPIRED, 1),
        (DeadlineExceeded("late"), True, metrics.EXPIRED, 0),
        (VitrineError("?"), False, metrics.EXPIRED, 0),
    ],
)
def test_items_that_are_refused_later_count_too(
    registry: CollectorRegistry, outcome: object, left: bool, reason: str, count: int
) -> None:
    """What is wrong with an item, or that its time has run out, while its caller still waits for it."""
    items = ItemMetrics("test", registry, bad_reasons=["TOO_LARGE"])
    assert rejected(registry, reason) == 0
    items.ended(outcome, left=left)
    assert rejected(registry, reason) == count

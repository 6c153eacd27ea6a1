from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

from services.mesh.errors import ResourceExhausted
from services.mesh.places import Places


def _told(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0.0


def test_no_more_are_taken_than_there_are() -> None:
    """Whoever comes too late is refused with a time to wait, and one that leaves makes room."""
    places = Places(2)
    with places:
        with places, pytest.raises(ResourceExhausted, match="2 calls are being handled") as refused, places:
            raise AssertionError
        assert refused.value.retry_after_s == 0.5
        with places:
            pass


def test_a_place_is_left_by_what_fails() -> None:
    """An error makes room as an answer does, and goes on."""
    places = Places(1)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="away"), places:
            raise RuntimeError("away")


def test_a_process_counts_all_its_places_together() -> None:
    """Calls in hand and calls refused are those of gRPC and HTTP, however each is limited."""
    some, others = Places(1), Places(1)
    before, refused = _told("vitrine_server_inflight"), _told("vitrine_server_rejected_total")
    with some, others:
        assert _told("vitrine_server_inflight") == before + 2
        with pytest.raises(ResourceExhausted), others:
            raise AssertionError
        assert _told("vitrine_server_inflight") == before + 2
    assert _told("vitrine_server_inflight") == before
    assert _told("vitrine_server_rejected_total") == refused + 1

from __future__ import annotations

import socket

import pytest

from services.mesh import metrics


def test_latency_buckets_grow_from_below_a_millisecond() -> None:
    """A cached search takes less than one, and a bucket says nothing when all fall into the first."""
    assert list(metrics.LATENCY_BUCKETS_S) == sorted(set(metrics.LATENCY_BUCKETS_S))
    assert metrics.LATENCY_BUCKETS_S[0] <= 0.0001


def test_a_taken_port_is_told() -> None:
    """Two processes cannot be scraped at one address."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"127.0.0.1:{port}: is the port in use"):
            metrics.serve("127.0.0.1", port)

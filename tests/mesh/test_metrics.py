from __future__ import annotations

import socket
import time

import pytest
from prometheus_client import REGISTRY

from services.mesh import metrics
from vitrine import __version__


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


def test_the_release_is_told() -> None:
    """What runs where is seen in one look, while a rollout goes on too."""
    metrics.declare([])
    assert REGISTRY.get_sample_value("vitrine_build_info", {"version": __version__}) == 1


def test_a_process_knows_its_age() -> None:
    """It counts from when the system started it, long before any of our code ran."""
    assert 0 < metrics.process_age_s() <= time.time()

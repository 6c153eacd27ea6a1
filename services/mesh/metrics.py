"""Prometheus metrics of a gRPC server, under the names of go-grpc-prometheus, on a port of their own."""

from __future__ import annotations

import time
from collections.abc import Iterable

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from prometheus_client import (
    REGISTRY,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    start_http_server,
)

from services.mesh.errors import ResourceExhausted, VitrineError
from vitrine import __version__

# From a tenth of a millisecond, since a cached search takes less than one, to half a minute.
LATENCY_BUCKETS_S = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0,
)  # fmt: skip

_METHOD = ["grpc_type", "grpc_service", "grpc_method"]

STARTED = Counter("grpc_server_started", "RPCs started on the server.", _METHOD)
HANDLED = Counter("grpc_server_handled", "RPCs completed on the server.", [*_METHOD, "grpc_code"])
HANDLING_SECONDS = Histogram(
    "grpc_server_handling_seconds",
    "Response latency of the server's RPCs.",
    _METHOD,
    buckets=LATENCY_BUCKETS_S,
)
INFLIGHT = Gauge("vitrine_server_inflight", "Calls being handled, over gRPC and over HTTP.")
REJECTED = Counter("vitrine_server_rejected", "Calls refused at the admission limit.")
OVERLOADED = Counter(
    "vitrine_server_overloaded",
    "Calls that failed for want of room, here or behind, by what was called; no limits of single callers.",
    ["call"],
)
BUILD_INFO = Gauge("vitrine_build_info", "Always 1; the label tells which release runs.", ["version"])


def declare(services: Iterable[ServiceDescriptor]) -> None:
    """Let every method and code exist from the start, at zero: rates are right from the first event."""
    BUILD_INFO.labels(__version__).set(1)
    for service in services:
        for method in service.methods:
            labels = ("server_stream" if method.server_streaming else "unary", service.full_name, method.name)
            STARTED.labels(*labels)
            HANDLING_SECONDS.labels(*labels)
            OVERLOADED.labels(f"{service.full_name}/{method.name}")
            for code in grpc.StatusCode:
                HANDLED.labels(*labels, code.name)


def is_overload(error: VitrineError) -> bool:
    """Whether a call failed for want of room; callers and hosts of pictures have limits of their own."""
    return isinstance(error, ResourceExhausted) and error.reason == ResourceExhausted.default_reason


def process_age_s() -> float:
    """Seconds since the system started this process; 0.0 where it does not tell."""
    started_at_s = REGISTRY.get_sample_value("process_start_time_seconds")
    return max(0.0, time.time() - started_at_s) if started_at_s else 0.0


def serve(host: str, port: int) -> None:
    """Answer scrapes on `host`:`port` from a thread of its own.

    Raises OSError when the port is taken.
    """
    # When each series began is asked for by no query, and would be every third line of a scrape.
    disable_created_metrics()  # type: ignore[no-untyped-call]  # The library has no types for it.
    try:
        start_http_server(port, addr=host)
    except OSError as error:
        raise OSError(f"cannot serve metrics on {host}:{port}: is the port in use?") from error

"""Prometheus metrics of a gRPC server, under the names of go-grpc-prometheus, on a port of their own."""

from __future__ import annotations

from collections.abc import Iterable

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from prometheus_client import Counter, Gauge, Histogram, start_http_server

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
INFLIGHT = Gauge("vitrine_server_inflight", "RPCs being handled.")
REJECTED = Counter("vitrine_server_rejected", "RPCs refused at the admission limit.")


def declare(services: Iterable[ServiceDescriptor]) -> None:
    """Let every method and code exist from the start, at zero: rates are right from the first event."""
    for service in services:
        for method in service.methods:
            labels = ("server_stream" if method.server_streaming else "unary", service.full_name, method.name)
            STARTED.labels(*labels)
            HANDLING_SECONDS.labels(*labels)
            for code in grpc.StatusCode:
                HANDLED.labels(*labels, code.name)


def serve(host: str, port: int) -> None:
    """Answer scrapes on `host`:`port` from a thread of its own.

    Raises OSError when the port is taken.
    """
    try:
        start_http_server(port, addr=host)
    except OSError as error:
        raise OSError(f"cannot serve metrics on {host}:{port}: is the port in use?") from error

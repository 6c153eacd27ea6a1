"""A receiver of spans on loopback, as an OpenTelemetry collector is one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

TIMEOUT_S = 60.0
KINDS = {
    trace_pb2.Span.SPAN_KIND_SERVER: "server",
    trace_pb2.Span.SPAN_KIND_CLIENT: "client",
    trace_pb2.Span.SPAN_KIND_INTERNAL: "internal",
}


@dataclass(frozen=True, slots=True)
class Received:
    """A span, and what made it."""

    service: str
    resource: dict[str, str | int]
    kind: str
    name: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, str | int]
    is_error: bool
    start_ns: int
    end_ns: int
    raw: trace_pb2.Span


class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps the spans that it gets; with `refuses` it takes none, `holds` is what its answers wait for."""

    def __init__(self) -> None:
        self.address = ""
        self.refuses = False
        self.asked = threading.Event()
        self.holds: threading.Event | None = None
        self._received: list[Received] = []

    @property
    def endpoint(self) -> str:
        """For `otlp_endpoint`."""
        return f"http://{self.address}"

    @property
    def spans(self) -> list[Received]:
        """What came so far."""
        return list(self._received)

    def spans_when(self, enough: Callable[[list[Received]], bool]) -> list[Received]:
        """What came, once it is enough; AssertionError when it is not within a minute."""
        give_up_s = time.monotonic() + TIMEOUT_S
        while not enough(self.spans):
            assert time.monotonic() < give_up_s, [(span.service, span.name) for span in self.spans]
            time.sleep(0.02)
        return self.spans

    def Export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        """Called by exporters."""
        self.asked.set()
        if self.holds is not None:
            self.holds.wait(TIMEOUT_S)
        if self.refuses:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not today")
        for of_resource in request.resource_spans:
            resource = _plain(of_resource.resource.attributes)
            for of_scope in of_resource.scope_spans:
                self._received += [_received(span, resource) for span in of_scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()


@contextmanager
def receiving(tls: grpc.ServerCredentials | None = None) -> Iterator[Receiver]:
    """A receiver that listens, with a certificate or without."""
    receiver = Receiver()
    server = grpc.server(ThreadPoolExecutor(4))
    register = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    register(receiver, server)  # type: ignore[no-untyped-call]  # Generated, without types.
    address = "127.0.0.1:0"
    port = server.add_secure_port(address, tls) if tls else server.add_insecure_port(address)
    receiver.address = f"127.0.0.1:{port}"
    server.start()
    try:
        yield receiver
    finally:
        server.stop(None).wait(TIMEOUT_S)


def _received(span: trace_pb2.Span, resource: dict[str, str | int]) -> Received:
    return Received(
        service=str(resource["service.name"]),
        resource=resource,
        kind=KINDS[span.kind],
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        attributes=_plain(span.attributes),
        is_error=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        raw=span,
    )


def _plain(attributes: Iterable[common_pb2.KeyValue]) -> dict[str, str | int]:
    return {each.key: each.value.string_value or each.value.int_value for each in attributes}

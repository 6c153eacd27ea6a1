"""What stands around a mesh that is observed: a Prometheus that scrapes it, a collector that takes spans."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import httpx
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from benchmarks.observability.plan import SCRAPE_PERIOD_S
from vitrine.supervisor.layout import Layout

# As Prometheus asks.
_HEADERS = {
    "Accept": "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3",
    "Accept-Encoding": "gzip",
}


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Counts the spans and the traces that it gets."""

    def __init__(self) -> None:
        self.spans = 0
        self.traces: set[bytes] = set()

    async def Export(  # noqa: N802 - gRPC's name for it
        self,
        request: trace_service_pb2.ExportTraceServiceRequest,
        _context: grpc.aio.ServicerContext[Any, Any],
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        """Called by exporters."""
        for of_resource in request.resource_spans:
            for of_scope in of_resource.scope_spans:
                self.spans += len(of_scope.spans)
                self.traces.update(span.trace_id for span in of_scope.spans)
        return trace_service_pb2.ExportTraceServiceResponse()


@contextlib.asynccontextmanager
async def collecting() -> AsyncIterator[tuple[str, Collector]]:
    """A collector and its address, as services are told it."""
    collector = Collector()
    server = grpc.aio.server()
    register = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    register(collector, server)  # type: ignore[no-untyped-call]  # Generated, without types.
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"http://127.0.0.1:{port}", collector
    finally:
        await server.stop(None)


async def scrape(layout: Layout) -> None:
    """Scrape every service once."""
    async with httpx.AsyncClient(headers=_HEADERS, timeout=SCRAPE_PERIOD_S) as client:
        for name in layout.addresses:
            answer = await client.get(layout.metrics_url(name))
            answer.raise_for_status()

"""Spans of the requests that are recorded, sent to a receiver of OpenTelemetry's protocol (OTLP over gRPC).

Imported only where there is a receiver: the SDK takes memory and time to load. Which requests are recorded,
and what the next hop is told of it, is `services.mesh.trace`'s business. Spans tell of calls, their times and
how they ended, and nothing of what was asked or answered.

Names and attributes: https://opentelemetry.io/docs/specs/semconv/
"""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
import time
from asyncio import CancelledError
from collections import deque
from contextlib import suppress
from typing import Self

import grpc
import structlog
from grpc.aio import AioRpcError
from opentelemetry import trace as otel
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from prometheus_client import Counter

import vitrine
from services.mesh import trace
from services.mesh.rates import Buckets
from services.mesh.trace import Attributes, Kind, Trace

QUEUE_SPANS = 4096
BATCH_SPANS = 512
# Spans wait this long at most for others to go with.
PERIOD_S = 5.0
EXPORT_TIMEOUT_S = 5.0
# A process that ends waits this long at most for its last spans to be taken.
FLUSH_S = 2.0

# Callers who are strangers may have so many of their traces recorded a second.
ASKED_PER_S = 50.0

# For the counts of whole 64-bit numbers, of which a trace id ends with one.
_IDS = 1 << 64

_KINDS = {
    "server": otel.SpanKind.SERVER,
    "client": otel.SpanKind.CLIENT,
    "internal": otel.SpanKind.INTERNAL,
}

_DROPPED = Counter("vitrine_trace_spans_dropped", "Spans that no receiver got.", ["reason"])
for _reason in ("queue_full", "not_taken"):
    _DROPPED.labels(_reason)

_log = structlog.get_logger(__name__)


class Recorder:
    """Makes spans, and sends them to `endpoint` from a thread of its own.

    `ratio` is the share of the traces begun here that are recorded. Where callers are strangers, with
    `is_edge`, it is drawn, as they can choose the id of a trace; and of those that they want to be recorded
    no more than `ASKED_PER_S` are. What goes wrong with the receiver is logged once an outage and never harms
    a request: spans beyond `QUEUE_SPANS` are dropped.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        ratio: float,
        service: str,
        tls: grpc.ChannelCredentials | None = None,
        is_edge: bool = False,
    ) -> None:
        # Its own lines would come with each try.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._bound = round(ratio * _IDS)
        self._draws = random.Random(random.SystemRandom().getrandbits(256)) if is_edge else None
        self._asked = Buckets(most=1) if is_edge else None
        self._outbox = _Outbox(endpoint, tls)
        resource = Resource.create(
            {
                "service.name": f"vitrine-{service}",
                "service.instance.id": f"{socket.gethostname()}-{os.getpid()}",
                "service.version": vitrine.__version__,
            }
        )
        provider = TracerProvider(
            sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False, id_generator=_Ids()
        )
        provider.add_span_processor(self._outbox)
        self._tracer = provider.get_tracer("vitrine", vitrine.__version__)

    def samples(self, trace_id: str) -> bool:
        """Whether a trace is one of the share that is recorded.

        Services behind the edge think alike of it: as OpenTelemetry's `TraceIdRatioBased`, by the last 64
        bits of the id.
        """
        drawn = int(trace_id[16:], 16) if self._draws is None else self._draws.getrandbits(64)
        return drawn < self._bound

    def start(
        self, kind: Kind, name: str, attributes: Attributes, *, start_ns: int | None = None
    ) -> Span | None:
        """Begin a step of the present trace, and be it until it ends.

        None, and the trace is not recorded, where it is one too many of those that callers want to be.
        """
        outer = trace.present()
        assert outer is not None
        is_asked_for = kind == "server" and outer.span
        if is_asked_for and self._asked is not None and self._asked.take_now("", ASKED_PER_S):
            trace.enter(outer._replace(is_sampled=False))
            return None
        parent = None
        if outer.span:
            parent = otel.set_span_in_context(
                otel.NonRecordingSpan(
                    otel.SpanContext(
                        int(outer.id, 16),
                        int(outer.span, 16),
                        is_remote=kind == "server",
                        trace_flags=otel.TraceFlags(otel.TraceFlags.SAMPLED),
                    )
                )
            )
        span = self._tracer.start_span(
            name, context=parent, kind=_KINDS[kind], attributes=attributes, start_time=start_ns
        )
        return Span(span, kind, outer)

    def close(self) -> None:
        """Send what waits, for `FLUSH_S` at most, and stop."""
        self._outbox.close()


class Span:
    """A step of a request, the present one while it lasts."""

    def __init__(self, span: otel.Span, kind: Kind, outer: Trace) -> None:
        self._span = span
        self._kind = kind
        self._outer = outer
        trace.enter(Trace(outer.id, f"{span.get_span_context().span_id:016x}", is_sampled=True))

    def end(
        self, attributes: Attributes, *, name: str = "", error: str = "", end_ns: int | None = None
    ) -> None:
        """End it, now or at `end_ns`, with what is known by now; `error` is why it failed, in one word."""
        trace.enter(self._outer)
        self._span.set_attributes(attributes)
        if name:
            self._span.update_name(name)
        if error:
            self._span.set_attribute("error.type", error)
            self._span.set_status(otel.StatusCode.ERROR)
        self._span.end(end_ns)

    def __enter__(self) -> Self:
        """Have it end with the block."""
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        """End it, failed where the block has. That its work was not needed any more is no failure.

        What an error says stays out: it may quote what was asked.
        """
        code = _code_of(error) if self._kind == "client" else None
        attributes = {} if code is None else {"rpc.grpc.status_code": code.value[0]}
        failed = error is not None and not isinstance(error, CancelledError)
        self.end(attributes, error=_word_of(error, code) if failed else "")


def _code_of(error: BaseException | None) -> grpc.StatusCode | None:
    """How a call ended; None for one that was never made."""
    if error is None:
        return grpc.StatusCode.OK
    if isinstance(error, CancelledError):
        return grpc.StatusCode.CANCELLED
    return error.code() if isinstance(error, AioRpcError) else None


def _word_of(error: BaseException | None, code: grpc.StatusCode | None) -> str:
    return type(error).__name__ if code is None else code.name


class _Ids(IdGenerator):
    """Span ids by chance; a trace has its id before it has spans."""

    def __init__(self) -> None:
        self._random = random.Random(random.SystemRandom().getrandbits(256))

    def generate_span_id(self) -> int:
        return self._random.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        return int(trace.current(), 16)


class _Outbox(SpanProcessor):
    """Ended spans on their way to the receiver."""

    def __init__(self, endpoint: str, tls: grpc.ChannelCredentials | None) -> None:
        self._endpoint = endpoint
        self._exporter = OTLPSpanExporter(
            endpoint=endpoint,
            insecure=endpoint.startswith("http://"),
            credentials=tls,
            timeout=EXPORT_TIMEOUT_S,
        )
        self._waiting: deque[ReadableSpan] = deque()
        self._wanted = threading.Event()
        self._is_closing = False
        self._is_away = False
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def on_end(self, span: ReadableSpan) -> None:
        """Put it on its way, from any thread."""
        if len(self._waiting) >= QUEUE_SPANS:
            _DROPPED.labels("queue_full").inc()
            return
        self._waiting.append(span)
        if len(self._waiting) >= BATCH_SPANS:
            self._wanted.set()

    def close(self) -> None:
        """Send what waits, for `FLUSH_S` at most."""
        ends_at_s = time.monotonic() + FLUSH_S
        self._is_closing = True
        self._wanted.set()
        self._thread.join(ends_at_s - time.monotonic())
        # Without the channel the call that the thread may still wait for ends.
        self._exporter.shutdown(timeout_millis=0)

    def _run(self) -> None:
        while not self._is_closing:
            self._wanted.wait(PERIOD_S)
            self._wanted.clear()
            while self._waiting:
                self._send([self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH_SPANS))])

    def _send(self, spans: list[ReadableSpan]) -> None:
        is_taken = False
        with suppress(Exception):
            is_taken = self._exporter.export(spans) is SpanExportResult.SUCCESS
        if not is_taken:
            _DROPPED.labels("not_taken").inc(len(spans))
        if is_taken is self._is_away:
            self._is_away = not is_taken
            if is_taken:
                _log.info("spans are taken again", endpoint=self._endpoint)
            else:
                _log.warning("spans are not taken", endpoint=self._endpoint)

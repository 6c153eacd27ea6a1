"""The process of a service: grpc.aio server, health, reflection, metrics, admission and graceful drain."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, cast

import grpc
import grpc.aio
import structlog
import uvloop
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.mesh import channel, deadline, logs, metrics, trace
from services.mesh.channel import KEEPALIVE_S, PONG_S
from services.mesh.errors import InvalidArgument, VitrineError
from services.mesh.health import Health, add_check_alone
from services.mesh.places import Places
from services.mesh.settings import ServiceSettings
from services.mesh.status import abort_arguments
from services.mesh.tls import ServerFiles, server_credentials

if TYPE_CHECKING:
    from services.mesh import tracing

_log = structlog.get_logger()

Admission = Callable[[Mapping[str, str | bytes], str], Awaitable[None]]
"""Looks at the metadata of a call and the address of its caller; refuses it with a domain error."""

# At most one line is logged in this time of calls of a method that were refused.
_REFUSAL_LINE_S = 0.1

# Without this two processes share a port silently and a port in use is never noticed.
_EXCLUSIVE = ("grpc.so_reuseport", 0)

# A peer that answers no ping is gone, and what it had asked for ends: the system alone would notice after two
# hours. Callers take pings at any rate, gRPC limits them for servers only.
_PING_S = 60.0

# The health port is open to all, and those who ask there ask for a moment: `services.mesh.health`.
_PROBES_AT_ONCE = 64
_PROBES_CONNECTED_S = 60.0

# Under this name the health service says whether a restart is needed, under all others whether calls are
# taken.
LIVENESS = "liveness"

# What a call failed with that is the server's doing, by OpenTelemetry's conventions for RPCs.
_OUR_FAILURES = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)

# Not counted, admitted or logged: probes and tools ask these, not callers.
_INTERNAL_SERVICES = ("/grpc.health.", "/grpc.reflection.")


class Host:
    """One service process.

    Add services, `start`, say `serving` once it can, `wait` until told to stop; `wait` returns drained. With
    `is_edge` its callers are anybody, otherwise other services: what strangers can have recorded is bounded.
    """

    def __init__(self, settings: ServiceSettings, name: str, *, is_edge: bool = False) -> None:
        logs.configure(name, settings.log_level)
        self._settings = settings
        self._name = name
        self._services: list[ServiceDescriptor] = []
        self._stopping = asyncio.Event()
        self._health = Health(watch_s=settings.max_connection_age_s)
        self._is_ready = False
        self._is_stuck = False
        self._is_serving = False
        self._probes: grpc.aio.Server | None = None
        self._recorder = _recorder(settings, name, is_edge=is_edge)
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._interceptor = _RequestInterceptor(settings)
        self._server = grpc.aio.server(
            interceptors=[self._interceptor],
            options=[
                _EXCLUSIVE,
                ("grpc.max_receive_message_length", settings.max_message_bytes),
                ("grpc.max_send_message_length", settings.max_message_bytes),
                # No bound for what goes on at that age: a scan of millions of rows that was cut would begin
                # anew, for ever, and followers of the feed would miss nothing but time. Other calls have
                # deadlines, watches of health an age of their own, and peers that are gone answer no ping.
                ("grpc.max_connection_age_ms", int(settings.max_connection_age_s * 1e3)),
                ("grpc.keepalive_time_ms", int(_PING_S * 1e3)),
                # Both, as for callers.
                ("grpc.keepalive_timeout_ms", int(PONG_S * 1e3)),
                ("grpc.http2.ping_timeout_ms", int(PONG_S * 1e3)),
                # Also over a stream on which nothing comes for long.
                ("grpc.http2.max_pings_without_data", 0),
                ("grpc.http2.min_ping_interval_without_data_ms", int(KEEPALIVE_S * 1e3) // 2),
                ("grpc.keepalive_permit_without_calls", 1),
            ],
        )

    def add(self, descriptor: ServiceDescriptor, register: Callable[[grpc.aio.Server], None]) -> None:
        """Serve a service; `register` adds its servicer to the server."""
        self._services.append(descriptor)
        register(self._server)

    def admit_by(self, admission: Admission) -> None:
        """Let `admission` see every call before its servicer does, but for health and reflection."""
        self._interceptor.admission = admission

    def run_beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` as long as the process; should it fail or end, the process stops with an error.

        It is cancelled when the drain begins.
        """
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._work_ended)

    async def start(self) -> int:
        """Listen; the port. Every service is NOT_SERVING until `serving` says otherwise.

        Raises OSError when the port is taken.
        """
        # From the first moment a caller could know of this process: a signal before `wait` must drain too.
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = [service.full_name for service in self._services]
        reflection.enable_server_reflection(
            [*names, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME],
            self._server,
        )
        self._tell()
        self.alive()
        metrics.declare(self._services)
        settings = self._settings
        port = self._listen(settings.port, self._add_port)
        if settings.metrics_port:
            metrics.serve(settings.host, settings.metrics_port)
        await self._server.start()
        if settings.health_port:
            age_ms = int(_PROBES_CONNECTED_S * 1e3)
            self._probes = grpc.aio.server(
                options=[
                    _EXCLUSIVE,
                    ("grpc.max_connection_idle_ms", age_ms),
                    ("grpc.max_connection_age_ms", age_ms),
                    ("grpc.max_connection_age_grace_ms", age_ms // 10),
                ],
                maximum_concurrent_rpcs=_PROBES_AT_ONCE,
            )
            add_check_alone(self._health, self._probes)
            self._listen(settings.health_port, self._probes.add_insecure_port)
            await self._probes.start()
        _log.info(
            "listening",
            address=_address(settings.host, port),
            metrics_port=settings.metrics_port,
            health_port=settings.health_port,
        )
        return port

    def serving(self) -> None:
        """Tell the health service that this process can do its work, unless it is stuck or about to end."""
        self._is_ready = True
        self._tell()

    def stuck(self) -> None:
        """Tell the health service that this process cannot do its work for now."""
        self._is_stuck = True
        self._tell()

    def moving(self) -> None:
        """Take `stuck` back; it serves again if it ever could."""
        self._is_stuck = False
        self._tell()

    def alive(self) -> None:
        """Tell the health service under LIVENESS that this process need not be restarted."""
        self._health.set(LIVENESS, serving=True)

    def not_alive(self) -> None:
        """Tell the health service under LIVENESS that nothing but a restart can help this process."""
        self._health.set(LIVENESS, serving=False)
        _log.error("not alive")

    def stop(self) -> None:
        """Let `wait` drain and return."""
        self._stopping.set()

    async def stopping(self) -> None:
        """Return once told to stop: for streams without an end, which a drain would wait for in vain."""
        await self._stopping.wait()

    async def wait(self) -> None:
        """Serve until SIGTERM, SIGINT or `stop`; then finish the calls in hand and return.

        Raises what a task of `run_beside` failed with.
        """
        await self._stopping.wait()
        _log.info("draining", drain_s=self._settings.drain_s)
        # A process that drains is alive: to be killed for that would cost the calls in hand.
        self._tell()
        self._health.end()
        # What runs beside drains at once too: an HTTP server must not take requests that it cannot finish.
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(self._server.stop(self._settings.drain_s), *self._tasks, return_exceptions=True)
        if self._recorder is not None:
            trace.record_by(None)
            await asyncio.to_thread(self._recorder.close)
        # Last: whoever asks meanwhile is told that no more calls are taken, not that nobody is there.
        if self._probes is not None:
            await self._probes.stop(None)
        _log.info("stopped")
        if self._failure is not None:
            raise self._failure

    def _listen(self, port: int, add: Callable[[str], int]) -> int:
        address = _address(self._settings.host, port)
        try:
            return add(address)
        except RuntimeError as error:
            raise OSError(f"{self._name}: cannot listen on {address}: is the port in use?") from error

    def _add_port(self, address: str) -> int:
        settings = self._settings
        if settings.tls_certificate is None or settings.tls_key is None:
            return self._server.add_insecure_port(address)
        files = ServerFiles(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
        return self._server.add_secure_port(address, server_credentials(files))

    def _tell(self) -> None:
        serving = self._is_ready and not self._is_stuck and not self._stopping.is_set()
        for name in ("", *(service.full_name for service in self._services)):
            self._health.set(name, serving=serving)
        if serving is not self._is_serving and not self._stopping.is_set():
            (_log.info if serving else _log.warning)("serving" if serving else "not serving")
        self._is_serving = serving

    def _work_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or self._stopping.is_set():
            return
        self._failure = task.exception() or RuntimeError("work that should never end has ended")
        _log.error("background work failed", error=repr(self._failure), exc_info=self._failure)
        self._stopping.set()


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run the main coroutine of a service on uvloop.

    Where it cannot listen, the process ends with status 1 and a line that says so.
    """
    try:
        uvloop.run(main)
    except OSError as error:
        _log.error("cannot start", error=str(error))
        raise SystemExit(1) from error


def _address(host: str, port: int) -> str:
    """For gRPC, where the colons of an IPv6 address must not be taken for a port's."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _recorder(settings: ServiceSettings, name: str, *, is_edge: bool) -> tracing.Recorder | None:
    """Who records this process's requests, where there is a receiver."""
    # With the SDK switched off by its own variable, all spans would have the same id, which is none.
    if not settings.otlp_endpoint or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    from services.mesh import tracing  # noqa: PLC0415 - an SDK of some weight, which few processes need

    recorder = tracing.Recorder(
        settings.otlp_endpoint,
        ratio=settings.trace_sample_ratio,
        service=name,
        # The mesh's own authority says nothing of others, and its certificates are for its services alone.
        tls=channel.credentials(ca=settings.otlp_ca) if settings.otlp_endpoint.startswith("https:") else None,
        is_edge=is_edge,
    )
    trace.record_by(recorder)
    return recorder


class _RequestInterceptor(grpc.aio.ServerInterceptor):
    """What happens around every RPC: trace, deadline, admission, error mapping, metrics and one log line."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._places = Places(settings.max_inflight)
        self._default_timeout_s = settings.default_timeout_s
        self.admission: Admission | None = None

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        details = handler_call_details
        handler = await continuation(details)
        if handler is None or details.method.startswith(_INTERNAL_SERVICES):
            return handler
        # Requests are parsed in here: gRPC would answer UNKNOWN to what is none, and log a traceback.
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(
                self._unary(handler.unary_unary, handler.request_deserializer, details),
                response_serializer=handler.response_serializer,
            )
        return grpc.unary_stream_rpc_method_handler(
            self._server_stream(handler.unary_stream, handler.request_deserializer, details),
            response_serializer=handler.response_serializer,
        )

    def _unary(self, behaviour: Any, parse: Any, details: grpc.HandlerCallDetails) -> Any:
        async def handle(data: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            rpc = _Rpc("unary", details)
            context.set_trailing_metadata(rpc.trailing)
            code = grpc.StatusCode.OK
            try:
                with self._places:
                    # None for a call without a deadline, which the stubs do not know of.
                    remaining_s = cast("float | None", context.time_remaining())
                    with deadline.within(self._default_timeout_s if remaining_s is None else remaining_s):
                        if self.admission is not None:
                            await self.admission(rpc.metadata, context.peer())
                        rpc.begin_span()
                        return await behaviour(_parsed(parse, data), context)
            except VitrineError as error:
                code = await _abort(context, error, rpc)
            except asyncio.CancelledError:
                code = grpc.StatusCode.CANCELLED
                raise
            except Exception as error:  # noqa: BLE001 - the last resort: logged here, INTERNAL for the caller
                code = await _abort_unexpected(context, error, rpc)
            finally:
                rpc.ended(code)

        return handle

    def _server_stream(self, behaviour: Any, parse: Any, details: grpc.HandlerCallDetails) -> Any:
        async def handle(data: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            # Without a span: a feed lasts as long as its follower, and belongs to nobody's request.
            rpc = _Rpc("server_stream", details)
            context.set_trailing_metadata(rpc.trailing)
            code = grpc.StatusCode.OK
            try:
                if self.admission is not None:
                    await self.admission(rpc.metadata, context.peer())
                async for response in behaviour(_parsed(parse, data), context):
                    yield response
            except VitrineError as error:
                code = await _abort(context, error, rpc)
            except (asyncio.CancelledError, GeneratorExit):
                code = grpc.StatusCode.CANCELLED
                raise
            except Exception as error:  # noqa: BLE001 - the last resort: logged here, INTERNAL for the caller
                code = await _abort_unexpected(context, error, rpc)
            finally:
                rpc.ended(code)

        return handle


def _parsed(parse: Callable[[bytes], Any], data: bytes) -> Any:
    try:
        return parse(data)
    except DecodeError as error:
        raise InvalidArgument("", "the request is not a message of this RPC's kind") from error


class _Rpc:
    """Counts, times and logs one RPC."""

    def __init__(self, kind: str, details: grpc.HandlerCallDetails) -> None:
        self._meters = _meters(kind, details.method)
        self._start = time.perf_counter()
        self._start_ns = time.time_ns()
        self.metadata = dict(details.invocation_metadata or ())
        # Only keys that end with -bin have bytes for values.
        trace_id = trace.begin(
            cast("str | None", self.metadata.get(trace.HEADER)),
            cast("str | None", self.metadata.get(trace.ID_HEADER)),
        )
        self.trailing = ((trace.ID_HEADER, trace_id),)
        self._span: trace.Span | None = None
        self._meters.started.inc()

    def begin_span(self) -> None:
        """Let the call, from its start on, be a step of its trace, where that is recorded.

        Once it has been admitted: what is refused to strangers must not cost more than the refusal.
        """
        self._span = trace.start(
            "server", self._meters.path, self._meters.attributes, start_ns=self._start_ns
        )

    def overloaded(self) -> None:
        """Count it as one that there was no room for."""
        self._meters.overloaded.inc()

    def ended(self, code: grpc.StatusCode) -> None:
        duration_s = time.perf_counter() - self._start
        meters = self._meters
        meters.handled[code].inc()
        meters.handling_seconds.observe(duration_s)
        if self._span is not None:
            self._span.end(
                {"rpc.grpc.status_code": code.value[0]}, error=code.name if code in _OUR_FAILURES else ""
            )
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED and not meters.may_tell_of_refusal():
            return
        _log.info("rpc", method=meters.method, code=code.name, duration_ms=round(duration_s * 1e3, 3))


class _Meters:
    """The metrics of one method, looked up once: under a flood of calls that are refused it shows."""

    def __init__(self, kind: str, path: str) -> None:
        _, service, self.method = path.split("/")
        self.path = f"{service}/{self.method}"
        self.attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": self.method}
        labels = (kind, service, self.method)
        self.started = metrics.STARTED.labels(*labels)
        self.handling_seconds = metrics.HANDLING_SECONDS.labels(*labels)
        self.overloaded = metrics.OVERLOADED.labels(self.path)
        self.handled = {code: metrics.HANDLED.labels(*labels, code.name) for code in grpc.StatusCode}
        self._last_told = -math.inf

    def may_tell_of_refusal(self) -> bool:
        """Whether a line about a refusal is due: the metrics count them all, and lines would be thousands."""
        now = time.monotonic()
        if now - self._last_told < _REFUSAL_LINE_S:
            return False
        self._last_told = now
        return True


@functools.cache
def _meters(kind: str, path: str) -> _Meters:
    return _Meters(kind, path)


async def _abort(
    context: grpc.aio.ServicerContext[Any, Any], error: VitrineError, rpc: _Rpc
) -> grpc.StatusCode:
    if metrics.is_overload(error):
        rpc.overloaded()
    code, message, details = abort_arguments(error)
    # It raises to leave the handler; the status is set by then, and returning leaves it just as well.
    with contextlib.suppress(grpc.aio.AbortError):
        await context.abort(code, message, (*details, *rpc.trailing))
    return code


async def _abort_unexpected(
    context: grpc.aio.ServicerContext[Any, Any], error: Exception, rpc: _Rpc
) -> grpc.StatusCode:
    _log.error("unexpected error", exc_info=error)
    # What went wrong inside is for our logs, not for callers.
    told = VitrineError("internal error; the trace id is in the server's log")
    return await _abort(context, told, rpc)

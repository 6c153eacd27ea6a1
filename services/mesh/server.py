"""The process of a service: grpc.aio server, health, reflection, metrics, admission and graceful drain."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import Any, cast

import grpc
import grpc.aio
import structlog
import uvloop
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from services.mesh import deadline, logs, metrics, trace
from services.mesh.channel import KEEPALIVE_S
from services.mesh.errors import InvalidArgument, ResourceExhausted, VitrineError
from services.mesh.settings import ServiceSettings
from services.mesh.status import abort_arguments
from services.mesh.tls import ServerFiles, server_credentials

_log = structlog.get_logger()

Admission = Callable[[Mapping[str, str | bytes], str], Awaitable[None]]
"""Looks at the metadata of a call and the address of its caller; refuses it with a domain error."""

# At most one line is logged in this time of calls of a method that were refused.
_REFUSAL_LINE_S = 0.1

# Not counted, admitted or logged: probes and tools ask these, not callers.
_INTERNAL_SERVICES = ("/grpc.health.", "/grpc.reflection.")


class Host:
    """One service process.

    Add services, `start`, mark each `serving` when it is, `wait` until told to stop; `wait` returns drained.
    """

    def __init__(self, settings: ServiceSettings, name: str) -> None:
        logs.configure(name, settings.log_level)
        self._settings = settings
        self._name = name
        self._services: list[ServiceDescriptor] = []
        self._stopping = asyncio.Event()
        self._health = _Health(self._stopping)
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._interceptor = _RequestInterceptor(settings)
        self._server = grpc.aio.server(
            interceptors=[self._interceptor],
            options=[
                # Without this two processes share a port silently and a port in use is never noticed.
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", settings.max_message_bytes),
                ("grpc.max_send_message_length", settings.max_message_bytes),
                ("grpc.max_connection_age_ms", int(settings.max_connection_age_s * 1e3)),
                ("grpc.max_connection_age_grace_ms", int(settings.default_timeout_s * 1e3)),
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
        await self._tell(health_pb2.HealthCheckResponse.NOT_SERVING)
        metrics.declare(self._services)
        address = f"{self._settings.host}:{self._settings.port}"
        try:
            port = self._listen_on(address)
        except RuntimeError as error:
            raise OSError(f"{self._name}: cannot listen on {address}: is the port in use?") from error
        if self._settings.metrics_port:
            metrics.serve(self._settings.host, self._settings.metrics_port)
        await self._server.start()
        _log.info(
            "listening", address=f"{self._settings.host}:{port}", metrics_port=self._settings.metrics_port
        )
        return port

    async def serving(self) -> None:
        """Tell the health service that this process can do its work."""
        await self._tell(health_pb2.HealthCheckResponse.SERVING)
        _log.info("serving")

    async def not_serving(self) -> None:
        """Tell the health service that this process cannot do its work for now."""
        await self._tell(health_pb2.HealthCheckResponse.NOT_SERVING)
        _log.warning("not serving")

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
        await self._health.enter_graceful_shutdown()
        # What runs beside drains at once too: an HTTP server must not take requests that it cannot finish.
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(self._server.stop(self._settings.drain_s), *self._tasks, return_exceptions=True)
        _log.info("stopped")
        if self._failure is not None:
            raise self._failure

    def _listen_on(self, address: str) -> int:
        settings = self._settings
        if settings.tls_certificate is None or settings.tls_key is None:
            return self._server.add_insecure_port(address)
        files = ServerFiles(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
        return self._server.add_secure_port(address, server_credentials(files))

    async def _tell(self, status: int) -> None:
        for name in ("", *(service.full_name for service in self._services)):
            await self._health.set(name, status)

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


class _Health(HealthServicer):
    """The health service, whose watches end with the process instead of holding its drain up."""

    def __init__(self, stopping: asyncio.Event) -> None:
        super().__init__()
        self._process_stopping = stopping

    async def Watch(
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> None:
        watch = asyncio.create_task(super().Watch(request, context))
        stop = asyncio.create_task(self._process_stopping.wait())
        try:
            await asyncio.wait((watch, stop), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (watch, stop):
                task.cancel()
            await asyncio.gather(watch, stop, return_exceptions=True)


class _RequestInterceptor(grpc.aio.ServerInterceptor):
    """What happens around every RPC: trace, deadline, admission, error mapping, metrics and one log line."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._max_inflight = settings.max_inflight
        self._default_timeout_s = settings.default_timeout_s
        self._inflight = 0
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
            code = grpc.StatusCode.OK
            try:
                self._admit()
                try:
                    # None for a call without a deadline, which the stubs do not know of.
                    remaining_s = cast("float | None", context.time_remaining())
                    with deadline.within(self._default_timeout_s if remaining_s is None else remaining_s):
                        if self.admission is not None:
                            await self.admission(rpc.metadata, context.peer())
                        return await behaviour(_parsed(parse, data), context)
                finally:
                    self._leave()
            except VitrineError as error:
                code = await _abort(context, error)
            except asyncio.CancelledError:
                code = grpc.StatusCode.CANCELLED
                raise
            except Exception as error:  # noqa: BLE001 - the last resort: logged here, INTERNAL for the caller
                code = await _abort_unexpected(context, error)
            finally:
                rpc.ended(code)

        return handle

    def _server_stream(self, behaviour: Any, parse: Any, details: grpc.HandlerCallDetails) -> Any:
        async def handle(data: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            rpc = _Rpc("server_stream", details)
            code = grpc.StatusCode.OK
            try:
                if self.admission is not None:
                    await self.admission(rpc.metadata, context.peer())
                async for response in behaviour(_parsed(parse, data), context):
                    yield response
            except VitrineError as error:
                code = await _abort(context, error)
            except (asyncio.CancelledError, GeneratorExit):
                code = grpc.StatusCode.CANCELLED
                raise
            except Exception as error:  # noqa: BLE001 - the last resort: logged here, INTERNAL for the caller
                code = await _abort_unexpected(context, error)
            finally:
                rpc.ended(code)

        return handle

    def _admit(self) -> None:
        if self._inflight >= self._max_inflight:
            metrics.REJECTED.inc()
            raise ResourceExhausted(
                f"{self._max_inflight} calls are being handled already", retry_after_s=0.5
            )
        self._inflight += 1
        metrics.INFLIGHT.set(self._inflight)

    def _leave(self) -> None:
        self._inflight -= 1
        metrics.INFLIGHT.set(self._inflight)


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
        self.metadata = dict(details.invocation_metadata or ())
        parent = self.metadata.get(trace.HEADER)
        trace.begin(parent if isinstance(parent, str) else None)
        self._meters.started.inc()

    def ended(self, code: grpc.StatusCode) -> None:
        duration_s = time.perf_counter() - self._start
        meters = self._meters
        meters.handled[code].inc()
        meters.handling_seconds.observe(duration_s)
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED and not meters.may_tell_of_refusal():
            return
        _log.info("rpc", method=meters.method, code=code.name, duration_ms=round(duration_s * 1e3, 3))


class _Meters:
    """The metrics of one method, looked up once: under a flood of calls that are refused it shows."""

    def __init__(self, kind: str, path: str) -> None:
        _, service, self.method = path.split("/")
        labels = (kind, service, self.method)
        self.started = metrics.STARTED.labels(*labels)
        self.handling_seconds = metrics.HANDLING_SECONDS.labels(*labels)
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


async def _abort(context: grpc.aio.ServicerContext[Any, Any], error: VitrineError) -> grpc.StatusCode:
    code, message, trailing = abort_arguments(error)
    # It raises to leave the handler; the status is set by then, and returning leaves it just as well.
    with contextlib.suppress(grpc.aio.AbortError):
        await context.abort(code, message, trailing)
    return code


async def _abort_unexpected(context: grpc.aio.ServicerContext[Any, Any], error: Exception) -> grpc.StatusCode:
    _log.error("unexpected error", exc_info=error)
    # What went wrong inside is for our logs, not for callers.
    return await _abort(context, VitrineError("internal error; the trace id is in the server's log"))

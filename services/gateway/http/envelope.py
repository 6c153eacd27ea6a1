"""What happens around every HTTP request: trace, limits, deadline, headers, metrics and one log line."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus

import structlog
from fastapi import APIRouter
from fastapi.routing import APIRoute
from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.http import problems
from services.gateway.http.caller import CallerLeft, present
from services.gateway.http.flows import Settings
from services.mesh import deadline, trace
from services.mesh.errors import DeadlineExceeded, ResourceExhausted, VitrineError
from services.mesh.metrics import LATENCY_BUCKETS_S

_log = structlog.get_logger()

_REQUESTS = Counter("vitrine_gateway_http_requests", "HTTP requests answered.", ["method", "route", "status"])
_SECONDS = Histogram(
    "vitrine_gateway_http_seconds",
    "Latency of HTTP requests.",
    ["method", "route"],
    buckets=LATENCY_BUCKETS_S,
)
_STATUSES = (200, 400, 404, 409, 413, 429, 499, 500, 503, 504)

# What no route has: the page's own files, and paths that do not exist.
_NO_ROUTE = "other"
# nginx's number for a caller who left before the answer; it is only counted, never sent.
_CALLER_LEFT = 499

_API = "/v1/"

# The page brings everything itself: no inline script or style, nothing from elsewhere, no framing.
_SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


def declare(router: APIRouter) -> None:
    """Let the metrics of these routes exist from the start, at zero."""
    for route in router.routes:
        if isinstance(route, APIRoute):
            for method in sorted(route.methods or ()):
                _SECONDS.labels(method, route.path)
                for status in _STATUSES:
                    _REQUESTS.labels(method, route.path, str(status))


class Envelope:
    """ASGI middleware. An error that leaves the app becomes problem details here."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._inflight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send)
        try:
            await self._handle(scope, _limited(receive, self._settings.max_message_bytes), exchange)
        except HTTPException as error:
            await exchange.fail(problems.of_status(error.status_code, error.detail), receive)
        except VitrineError as error:
            await exchange.fail(problems.of_error(error), receive)
        except CallerLeft:
            exchange.status = _CALLER_LEFT
        except Exception as error:  # noqa: BLE001 - the last resort: logged here, 500 to the caller
            _log.error("unexpected error", exc_info=error)
            message = "internal error; the trace id is in the server's log"
            await exchange.fail(problems.of_error(VitrineError(message)), receive)
        finally:
            exchange.ended()

    async def _handle(self, scope: Scope, receive: Receive, exchange: _Exchange) -> None:
        length = Headers(scope=scope).get("content-length", "0")
        if not length.isdecimal() or int(length) > self._settings.max_message_bytes:
            raise _too_large(self._settings.max_message_bytes)
        if not scope["path"].startswith(_API):
            await self._app(scope, receive, exchange.send)
            return
        if self._inflight >= self._settings.max_inflight:
            raise ResourceExhausted(f"{self._inflight} requests are being handled already", retry_after_s=0.5)
        self._inflight += 1
        timeout_s = self._settings.default_timeout_s
        try:
            # The deadline bounds what is asked of others, the timeout also the reading of a slow body.
            with deadline.within(timeout_s):
                async with asyncio.timeout(timeout_s) as timeout, present(receive, exchange.begun) as read:
                    await self._app(scope, read, exchange.send)
        except TimeoutError as error:
            if not timeout.expired():
                raise
            raise DeadlineExceeded(f"the request took longer than {timeout_s:g} s") from error
        finally:
            self._inflight -= 1


class _Exchange:
    """One request and its answer: what is added to the answer, counted and logged."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._start = time.perf_counter()
        self._scope = scope
        self._send = send
        self._trace_id = trace.begin(Headers(scope=scope).get(trace.HEADER))
        self.status = 0

    def begun(self) -> bool:
        return self.status != 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["trace-id"] = self._trace_id
            for name, value in _SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)

    async def fail(self, response: ASGIApp, receive: Receive) -> None:
        """Answer with `response`, unless an answer has begun: then the connection ends, torn."""
        if self.begun():
            raise ConnectionAbortedError("the answer had begun when it failed")
        await response(self._scope, receive, self.send)

    def ended(self) -> None:
        duration_s = time.perf_counter() - self._start
        method = self._scope["method"]
        # The route's pattern, not the path: paths have no end, and may tell what a shopper looked at.
        route = getattr(self._scope.get("route"), "path", _NO_ROUTE)
        _REQUESTS.labels(method, route, str(self.status)).inc()
        _SECONDS.labels(method, route).observe(duration_s)
        # The page's files and pictures, dozens a search, would bury the lines that matter.
        if self._scope["path"].startswith(_API) or self.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            duration_ms = round(duration_s * 1e3, 3)
            _log.info("http", method=method, route=route, status=self.status, duration_ms=duration_ms)


def _limited(receive: Receive, limit_bytes: int) -> Receive:
    """`receive` that refuses a body without a length as soon as it has grown too large."""
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit_bytes:
            raise _too_large(limit_bytes)
        return message

    return counted


def _too_large(limit_bytes: int) -> HTTPException:
    return HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has at most {limit_bytes} bytes")

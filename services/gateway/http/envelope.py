"""What happens around every HTTP request: trace, limits, deadline, headers, metrics and one log line."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import structlog
from fastapi import APIRouter
from fastapi.routing import APIRoute
from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.http import host_names, limits, problems
from services.gateway.http.caller import CallerLeft, present
from services.gateway.http.flows import Gatekeeper, Settings
from services.mesh import deadline, metrics, trace
from services.mesh.errors import DeadlineExceeded, VitrineError
from services.mesh.places import Places

_log = structlog.get_logger()

_REQUESTS = Counter("vitrine_gateway_http_requests", "HTTP requests answered.", ["method", "route", "status"])
_SECONDS = Histogram(
    "vitrine_gateway_http_seconds",
    "Latency of HTTP requests.",
    ["method", "route"],
    buckets=metrics.LATENCY_BUCKETS_S,
)
_STATUSES = (200, 201, 400, 401, 403, 404, 408, 409, 413, 415, 429, 499, 500, 503, 504)

# What no route has: the page's own files, and paths that do not exist.
_NO_ROUTE = "other"
# All that HTTP knows by RFC 9110 and 5789. Callers may make up as many more as they like: those are one.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"})
_NO_METHOD = "other"
# nginx's number for a caller who left before the answer; it is only counted, never sent.
_CALLER_LEFT = 499

_API = "/v1/"


def _security_headers(settings: Settings) -> dict[str, str]:
    """The page brings everything itself: no inline script or style, no framing, and nothing from elsewhere.

    Pictures may be redirected to `media_redirect_hosts`, of which `.shop.example` are all below that domain.
    Pages of other origins show them only where such pages may call the API at all.
    """
    elsewhere = "".join(
        f" *{host}" if host.startswith(".") else f" {host}" for host in settings.media_redirect_hosts
    )
    return {
        "content-security-policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
            f"img-src 'self' blob:{elsewhere}; manifest-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
        ),
        # The page may share too: that is the default, and browsers that cannot warn of the name.
        "permissions-policy": (
            "camera=(self), clipboard-write=(self), geolocation=(), microphone=(), payment=(), usb=()"
        ),
        "cross-origin-opener-policy": "same-origin",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "cross-origin" if settings.cors_origins else "same-origin",
    }


def declare(router: APIRouter) -> None:
    """Let the metrics of these routes exist from the start, at zero."""
    for route in router.routes:
        if isinstance(route, APIRoute):
            for method in sorted(route.methods or ()):
                _SECONDS.labels(method, route.path)
                metrics.OVERLOADED.labels(f"{method} {route.path}")
                for status in _STATUSES:
                    _REQUESTS.labels(method, route.path, str(status))


class Envelope:
    """ASGI middleware. An error that leaves the app becomes problem details here.

    `routes` are those of the app: of a request that is refused before it is routed they tell what it was for.
    """

    def __init__(
        self, app: ASGIApp, settings: Settings, gatekeeper: Gatekeeper, routes: Sequence[BaseRoute] = ()
    ) -> None:
        self._app = app
        self._routes = routes
        self._settings = settings
        self._gatekeeper = gatekeeper
        self._security_headers = _security_headers(settings)
        self._places = Places(settings.max_inflight)
        self._names = host_names.allowed(
            settings.http_names, listens_on=settings.http_host, is_open=settings.access == "open"
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send, self._security_headers, self._routes)
        try:
            await self._handle(scope, _Body(receive, self._settings.max_message_bytes), exchange)
        except HTTPException as error:
            await exchange.fail(problems.of_status(error.status_code, error.detail), receive)
        except VitrineError as error:
            exchange.is_overload = metrics.is_overload(error)
            await exchange.fail(problems.of_error(error), receive)
        except CallerLeft:
            exchange.status = _CALLER_LEFT
        except Exception as error:  # noqa: BLE001 - the last resort: logged here, 500 to the caller
            _log.error("unexpected error", exc_info=error)
            message = "internal error; the trace id is in the server's log"
            await exchange.fail(problems.of_error(VitrineError(message)), receive)
        finally:
            exchange.ended()

    async def _handle(self, scope: Scope, body: _Body, exchange: _Exchange) -> None:
        limits.check(scope)
        headers = Headers(scope=scope)
        host_names.check(headers.get("host", ""), self._names)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._settings.max_message_bytes:
            raise _too_large(self._settings.max_message_bytes)
        if not scope["path"].startswith(_API):
            await self._app(scope, body.receive, exchange.send)
            return
        with self._places:
            await self._handle_call(scope, headers, body, exchange)

    async def _handle_call(self, scope: Scope, headers: Headers, body: _Body, exchange: _Exchange) -> None:
        timeout_s = self._settings.default_timeout_s
        client = scope.get("client")
        try:
            # The deadline bounds what is asked of others, the timeout also the reading of a slow body.
            with deadline.within(timeout_s):
                async with (
                    asyncio.timeout(timeout_s) as timeout,
                    present(body.receive, exchange.begun) as read,
                ):
                    await self._gatekeeper.admit_call(headers, client[0] if client else "")
                    exchange.begin_span()
                    await self._app(scope, read, exchange.send)
        except TimeoutError as error:
            if not timeout.expired():
                raise
            if body.is_awaited:
                detail = f"the body took longer than {timeout_s:g} s to come"
                raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, detail) from error
            raise DeadlineExceeded(f"the request took longer than {timeout_s:g} s") from error


class _Exchange:
    """One request and its answer: what is added to the answer, counted and logged."""

    def __init__(
        self, scope: Scope, send: Send, headers: Mapping[str, str], routes: Sequence[BaseRoute]
    ) -> None:
        self._start = time.perf_counter()
        self._scope = scope
        self._send = send
        self._headers = headers
        self._routes = routes
        self._method = scope["method"] if scope["method"] in _METHODS else _NO_METHOD
        self._trace_id = trace.begin(Headers(scope=scope).get(trace.HEADER))
        self._start_ns = time.time_ns()
        self._span: trace.Span | None = None
        # The page's files and pictures, dozens a search, would bury the lines that matter.
        self._is_api = scope["path"].startswith(_API)
        self.status = 0
        self.is_overload = False

    def begin_span(self) -> None:
        """Let an admitted call, from its start on, be a step of its trace, where that is recorded."""
        if trace.is_recorded():
            # Without the path: it may tell what a shopper looked at.
            attributes = {"http.request.method": self._method, "url.scheme": self._scope["scheme"]}
            self._span = trace.start("server", self._method, attributes, start_ns=self._start_ns)

    def begun(self) -> bool:
        return self.status != 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["trace-id"] = self._trace_id
            for name, value in self._headers.items():
                headers.setdefault(name, value)
        await self._send(message)

    async def fail(self, response: ASGIApp, receive: Receive) -> None:
        """Answer with `response`, unless an answer has begun: then the connection ends, torn."""
        if self.begun():
            raise ConnectionAbortedError("the answer had begun when it failed")
        await response(self._scope, receive, self.send)

    def ended(self) -> None:
        duration_s = time.perf_counter() - self._start
        method, route = self._method, self._route()
        _REQUESTS.labels(method, route, str(self.status)).inc()
        if self.is_overload:
            metrics.OVERLOADED.labels(f"{method} {route}").inc()
        _SECONDS.labels(method, route).observe(duration_s)
        if self._span is not None:
            self._span.end(
                {"http.route": route, "http.response.status_code": self.status},
                name=f"{method} {route}",
                error=str(self.status) if self.status >= HTTPStatus.INTERNAL_SERVER_ERROR else "",
            )
        if self._is_api or self.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            duration_ms = round(duration_s * 1e3, 3)
            _log.info("http", method=method, route=route, status=self.status, duration_ms=duration_ms)

    def _route(self) -> str:
        """The route's pattern, not the path: paths have no end, and may tell what a shopper looked at."""
        found = self._scope.get("route")
        if found is None and self._is_api:
            found = next(
                (route for route in self._routes if route.matches(self._scope)[0] is Match.FULL), None
            )
        return getattr(found, "path", _NO_ROUTE)


class _Body:
    """The body of a request as it comes, refused as soon as it has grown too large."""

    def __init__(self, receive: Receive, limit_bytes: int) -> None:
        self._receive = receive
        self._limit_bytes = limit_bytes
        self._received_bytes = 0
        self._is_whole = False
        self.is_awaited = False

    async def receive(self) -> Message:
        """What `receive` says. Cancelled while more of the body was to come, it stays `is_awaited`."""
        self.is_awaited = not self._is_whole
        message = await self._receive()
        self.is_awaited = False
        self._is_whole = not message.get("more_body", False)
        self._received_bytes += len(message.get("body", b""))
        if self._received_bytes > self._limit_bytes:
            raise _too_large(self._limit_bytes)
        return message


def _too_large(limit_bytes: int) -> HTTPException:
    return HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has at most {limit_bytes} bytes")

"""The HTTP server: uvicorn in the loop that the gRPC server runs in."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import structlog
import uvicorn

from services.gateway.http.app import create_app
from services.gateway.http.connection import Connection
from services.gateway.http.flows import Gateway, Settings

_log = structlog.get_logger()

_BACKLOG = 1024


async def serve(settings: Settings, gateway: Gateway) -> None:
    """Serve HTTP on `settings.http_host`:`settings.http_port` until cancelled, then drain.

    Raises OSError when the port is taken, or a file of TLS cannot be used.
    """
    app = create_app(settings, gateway)
    config = uvicorn.Config(
        app,
        http=Connection,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        # Who calls is who connected: limits go by it, and anybody can write a header.
        proxy_headers=False,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        timeout_graceful_shutdown=max(1, round(settings.drain_s)),
    )
    listener = _listen(settings.http_host, settings.http_port)
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    app.state.ready = True
    _log.info("http listening", address="{}:{}".format(*listener.getsockname()[:2]))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        app.state.ready = False
        server.should_exit = True
        await serving
        raise
    finally:
        listener.close()


def _listen(host: str, port: int) -> socket.socket:
    is_ipv6 = ":" in host
    family = socket.AF_INET6 if is_ipv6 else socket.AF_INET
    # `::` is every address of the machine, as it is for gRPC.
    takes_both = is_ipv6 and socket.has_dualstack_ipv6()
    try:
        listener = socket.create_server(
            (host, port), family=family, backlog=_BACKLOG, dualstack_ipv6=takes_both
        )
        # Inherited by connections. Head and body of an answer are two writes, the second of which would wait
        # 40 ms for the caller's acknowledgement of the first; asyncio does this only to sockets that say that
        # they are TCP, which this one does not.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        raise OSError(f"gateway: cannot listen on {host}:{port} for HTTP: is the port in use?") from error


class _Server(uvicorn.Server):
    """Leaves signals to the process's host, which drains gRPC too."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

"""The HTTP server: uvicorn in the loop that the gRPC server runs in."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import structlog
import uvicorn

from services.gateway.http.app import create_app
from services.gateway.http.flows import CatalogFlow, Media, SearchFlow, Settings

_log = structlog.get_logger()

_BACKLOG = 1024


async def serve(settings: Settings, search_flow: SearchFlow, catalog_flow: CatalogFlow, media: Media) -> None:
    """Serve HTTP on `settings.http_host`:`settings.http_port` until cancelled, then drain.

    Raises OSError when the port is taken.
    """
    app = create_app(settings, search_flow, catalog_flow, media)
    config = uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
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
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise OSError(f"gateway: cannot listen on {host}:{port} for HTTP: is the port in use?") from error


class _Server(uvicorn.Server):
    """Leaves signals to the process's host, which drains gRPC too."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

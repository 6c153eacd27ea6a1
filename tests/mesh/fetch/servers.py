"""A web server that answers as told, and a fetcher that may ask it."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import httpcore
import httpx

from services.mesh.fetch.dialing import system_addresses
from services.mesh.fetch.fetching import Fetcher, FetchLimits

# No test waits for these unless it is about them; it then sets a short one.
PATIENT = FetchLimits(timeout_s=60, connect_timeout_s=60, max_per_host_per_s=1000)

Reply = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


def reply(status: int = 200, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Server:
    """Answers each path as told and keeps the requests."""

    def __init__(self) -> None:
        self.replies: dict[str, Reply] = {}
        self.requests: list[str] = []
        self.names: list[str | None] = []
        self.port = 0

    @property
    def here(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def paths(self) -> list[str]:
        return [request.split(" ")[1] for request in self.requests]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.requests.append(request)
                answer = self.replies.get(request.split(" ")[1], reply(404))
                if isinstance(answer, bytes):
                    writer.write(answer)
                    await writer.drain()
                else:
                    await answer(writer)
                    return
        # The fetcher may leave at any time, and the test may end.
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(ssl_context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server()
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await server.handle(reader, writer)

    if ssl_context is not None:
        ssl_context.sni_callback = lambda _socket, name, _context: server.names.append(name)
    listening = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=ssl_context)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listening.wait_closed()


@functools.cache
def _well_known() -> ssl.SSLContext:
    """What every fetcher would read for itself, which takes longer than most tests."""
    return httpx.create_ssl_context()


@asynccontextmanager
async def fetching(
    limits: FetchLimits = PATIENT,
    *,
    allowed_hosts: Sequence[str] = ("127.0.0.1", "localhost"),
    resolve: Callable[[str], Awaitable[Sequence[str]]] = system_addresses,
    dial: httpcore.AsyncNetworkBackend | None = None,
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(
        limits,
        allowed_hosts=allowed_hosts,
        resolve=resolve,
        dial=dial,
        ssl_context=ssl_context or _well_known(),
    )
    try:
        yield fetcher
    finally:
        await fetcher.aclose()


class Detour(httpcore.AsyncNetworkBackend):
    """Leads every address to the server on this machine, and remembers it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.dialled: list[str] = []

    async def connect_tcp(self, host: str, port: int, *rest: object) -> httpcore.AsyncNetworkStream:
        self.dialled.append(host)
        return await httpcore.AnyIOBackend().connect_tcp("127.0.0.1", self.port)

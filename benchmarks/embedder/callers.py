"""Callers that cost next to nothing: bytes in, bytes out, over gRPC or HTTP/1.1.

The load generator shares the machine with what it measures, so nothing is serialised or parsed here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Self

import grpc

from benchmarks.embedder.http2 import Connection, Lost

# Sends one request, with the seconds until its deadline; raises Failed where no vector came back.
Ask = Callable[[bytes, float], Awaitable[bytes]]

EMBED_IMAGES = "/vitrine.v1.EmbedderService/EmbedImages"
# An answer that is shorter holds no vector: it is an error in disguise.
MIN_ANSWER_BYTES = 1024

_HEADERS_END = b"\r\n\r\n"
_CODES: dict[int, str] = {code.value[0]: code.name for code in grpc.StatusCode}


class Failed(Exception):
    """There was no answer, or none with a vector. `code` is gRPC's or HTTP's."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class GrpcCaller:
    """One connection to a server, for any number of calls at once. Use it as a context."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self._connected()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()

    async def ask(self, request: bytes, timeout_s: float) -> bytes:
        """The serialised EmbedImagesResponse to a serialised EmbedImagesRequest.

        Raises Failed as `call` does, and for an answer too short to hold a vector.
        """
        message = await self.call(EMBED_IMAGES, request, timeout_s)
        if len(message) < MIN_ANSWER_BYTES:
            raise Failed("NO_VECTOR")
        return message

    async def call(self, method: str, request: bytes, timeout_s: float) -> bytes:
        """The serialised answer of any method; raises Failed for any status but OK and a lost connection."""
        connection = self._connection
        if connection is None or not connection.is_open:
            connection = await self._connected()
        try:
            answer = await connection.call(method, request, timeout_s)
        except TimeoutError as error:
            raise Failed("DEADLINE_EXCEEDED") from error
        except Lost as error:
            raise Failed("LOST") from error
        if answer.status:
            raise Failed(_CODES[answer.status])
        return answer.message

    async def _connected(self) -> Connection:
        # The server ends connections at some age, without harm to calls.
        async with self._connecting:
            if self._connection is None or not self._connection.is_open:
                loop = asyncio.get_running_loop()
                _, self._connection = await loop.create_connection(Connection, *self._address)
            return self._connection


class HttpCaller:
    """One keep-alive connection to an HTTP server, for one request at a time."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes, timeout_s: float) -> bytes:
        """The body of the answer to a whole request as it goes over the wire.

        Raises Failed for any status but 200, for a body too short to hold a vector and for a lost connection.
        """
        body = await self.fetch(request, timeout_s)
        if len(body) < MIN_ANSWER_BYTES:
            raise Failed("NO_VECTOR")
        return body

    async def fetch(self, request: bytes, timeout_s: float) -> bytes:
        """As `ask`, for a body of any length."""
        try:
            async with asyncio.timeout(timeout_s):
                status, body = await self._exchange(request)
        except (OSError, EOFError, TimeoutError) as error:
            self.close()
            raise Failed(type(error).__name__) from error
        if status != "200":
            raise Failed(status)
        return body

    def close(self) -> None:
        """End the connection; the next request makes another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _exchange(self, request: bytes) -> tuple[str, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(_HEADERS_END)).decode("latin-1")
        status_line, *lines = head.split("\r\n")
        headers: dict[str, Any] = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
        }
        return status_line.split()[1], await reader.readexactly(int(headers["content-length"]))


def http_post(path: str, content_type: str, body: bytes) -> bytes:
    """A whole POST request as it goes over the wire."""
    return _head("POST", path, f"Content-Type: {content_type}", f"Content-Length: {len(body)}") + body


def http_get(path: str) -> bytes:
    """A whole GET request as it goes over the wire."""
    return _head("GET", path)


def _head(*words: str) -> bytes:
    method, path, *headers = words
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()

"""A caller in bare HTTP/2 who asks and gives no room for an answer, which gRPC's own clients never do."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# Frames and flags of RFC 9113, sections 6.1 to 6.7.
_DATA, _HEADERS, _SETTINGS, _PING = 0, 1, 4, 6
_ACK, _END_STREAM, _END_HEADERS = 1, 1, 4
_INITIAL_WINDOW_SIZE = 4


@asynccontextmanager
async def mute(port: int, path: str, *, calls: int = 1) -> AsyncIterator[None]:
    """Open calls of the RPC at `path`, each with an empty message, whose answers have a window of 0 bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_PREFACE + _frame(_SETTINGS, 0, 0, struct.pack(">HI", _INITIAL_WINDOW_SIZE, 0)))
    for number in range(calls):
        stream = 2 * number + 1
        writer.write(_frame(_HEADERS, _END_HEADERS, stream, _headers(path)))
        writer.write(_frame(_DATA, _END_STREAM, stream, bytes(5)))
    polite = asyncio.create_task(_acknowledge(reader, writer))
    try:
        yield
    finally:
        polite.cancel()
        await asyncio.gather(polite, return_exceptions=True)
        writer.close()


async def _acknowledge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer settings and pings, so that there is nothing to close the connection for."""
    while True:
        head = await reader.readexactly(9)
        payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
        kind, flags = head[3], head[4]
        if kind == _SETTINGS and not flags & _ACK:
            writer.write(_frame(_SETTINGS, _ACK, 0))
        if kind == _PING and not flags & _ACK:
            writer.write(_frame(_PING, _ACK, 0, payload))


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _headers(path: str) -> bytes:
    """Without compression (RFC 7541, section 6.2.2)."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "test",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    return b"".join(
        bytes([0, len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in fields.items()
    )

"""The little of HTTP/2 that unary gRPC calls take (RFC 9113, RFC 7541 and gRPC's PROTOCOL-HTTP2).

On two cores that it shares with the server, a load generator's own cost is measured too, and in a flood of
calls above all. This client takes less than half the processor time of grpcio's.
"""

from __future__ import annotations

import asyncio
import functools
import struct
from collections import deque
from dataclasses import dataclass, field
from typing import cast

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7, 0x8
_END_STREAM, _ACK, _END_HEADERS = 0x1, 0x1, 0x4
_HEADER_TABLE_SIZE, _INITIAL_WINDOW_SIZE, _MAX_FRAME_SIZE = 0x1, 0x4, 0x5
_CANCEL = 0x8
_FRAME_HEAD = 9
_LARGEST_WINDOW = 2**31 - 1
_STATUS = b"grpc-status"


class Lost(Exception):
    """The connection, or the call alone, ended without an answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended: gRPC's status as a number, and the serialised response where it is 0."""

    status: int
    message: bytes


@dataclass(slots=True)
class _Stream:
    identity: int
    window: int
    unsent: memoryview
    answer: asyncio.Future[Answer]
    received: bytearray = field(default_factory=bytearray)


class Connection(asyncio.Protocol):
    """One connection to a gRPC server, for any number of calls at once."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._streams: dict[int, _Stream] = {}
        self._waiting: deque[_Stream] = deque()
        self._next = 1
        self._window = self._stream_window = 65_535
        self._max_frame = 16_384
        self._going_away = False

    @property
    def is_open(self) -> bool:
        """Whether calls may be begun on it. Servers end connections at some age, without harm to calls."""
        return self._transport is not None and not self._going_away

    async def call(self, path: str, request: bytes, timeout_s: float) -> Answer:
        """The answer to a serialised request of a unary RPC such as `/package.Service/Method`.

        The server is told of the deadline and of a cancellation. Raises TimeoutError at the deadline, Lost
        when the connection breaks.
        """
        if self._transport is None:
            raise Lost("not connected")
        identity, self._next = self._next, self._next + 2
        body = struct.pack(">BI", 0, len(request)) + request
        answer = asyncio.get_running_loop().create_future()
        stream = _Stream(identity, self._stream_window, memoryview(body), answer)
        self._streams[identity] = stream
        headers = _request_headers(path, round(timeout_s * 1e3))
        self._transport.write(_frame(_HEADERS, _END_HEADERS, identity, headers))
        self._waiting.append(stream)
        self._send()
        try:
            async with asyncio.timeout(timeout_s):
                return cast("Answer", await answer)
        finally:
            # Still there: nothing came, and nobody waits for it any more.
            if self._streams.pop(identity, None) is not None and self._transport is not None:
                stream.unsent = stream.unsent[:0]
                self._transport.write(_frame(_RST_STREAM, 0, identity, struct.pack(">I", _CANCEL)))

    def close(self) -> None:
        """End the connection, and with it all calls."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greets: answers may be as long as they like, and headers are to be spelt out."""
        self._transport = cast("asyncio.Transport", transport)
        settings = struct.pack(">HIHI", _HEADER_TABLE_SIZE, 0, _INITIAL_WINDOW_SIZE, _LARGEST_WINDOW)
        window = struct.pack(">I", _LARGEST_WINDOW - 65_535)
        self._transport.write(
            _PREFACE + _frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW_UPDATE, 0, 0, window)
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Fails all calls."""
        self._transport = None
        for stream in self._streams.values():
            if not stream.answer.done():
                stream.answer.set_exception(Lost(repr(exc)))
        self._streams.clear()

    def data_received(self, data: bytes) -> None:
        """Takes in frames."""
        self._buffer += data
        position = 0
        while len(self._buffer) - position >= _FRAME_HEAD:
            high, low, kind, flags, identity = struct.unpack_from(">BHBBI", self._buffer, position)
            end = position + _FRAME_HEAD + (high << 16 | low)
            if end > len(self._buffer):
                break
            self._take(kind, flags, identity, bytes(self._buffer[position + _FRAME_HEAD : end]))
            position = end
        del self._buffer[:position]

    def _take(self, kind: int, flags: int, identity: int, payload: bytes) -> None:
        assert self._transport is not None
        stream = self._streams.get(identity)
        if kind == _DATA:
            if stream is not None:
                stream.received += payload
        elif kind == _HEADERS:
            if stream is not None and flags & _END_STREAM:
                self._end(stream, _status(payload))
        elif kind == _RST_STREAM:
            if stream is not None:
                self._streams.pop(identity)
                stream.answer.set_exception(Lost("reset"))
        elif kind == _WINDOW_UPDATE:
            (credit,) = struct.unpack(">I", payload)
            if stream is not None:
                stream.window += credit
            elif identity == 0:
                self._window += credit
            self._send()
        elif kind == _SETTINGS and not flags & _ACK:
            self._agree(payload)
            self._transport.write(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self._transport.write(_frame(_PING, _ACK, 0, payload))
        elif kind == _GOAWAY:
            self._going_away = True

    def _agree(self, payload: bytes) -> None:
        for key, value in struct.iter_unpack(">HI", payload):
            if key == _INITIAL_WINDOW_SIZE:
                for stream in self._streams.values():
                    stream.window += value - self._stream_window
                self._stream_window = value
            elif key == _MAX_FRAME_SIZE:
                self._max_frame = value
        self._send()

    def _send(self) -> None:
        """Send what waits, as far as the server's windows allow, in the order of the calls."""
        assert self._transport is not None
        for _ in range(len(self._waiting)):
            stream = self._waiting.popleft()
            while stream.unsent and (size := min(len(stream.unsent), self._window, stream.window)) > 0:
                size = min(size, self._max_frame)
                chunk, stream.unsent = stream.unsent[:size], stream.unsent[size:]
                self._window -= size
                stream.window -= size
                flags = 0 if stream.unsent else _END_STREAM
                self._transport.write(_frame(_DATA, flags, stream.identity, chunk))
            if stream.unsent:
                self._waiting.append(stream)

    def _end(self, stream: _Stream, status: int) -> None:
        self._streams.pop(stream.identity)
        if not stream.answer.done():
            # A flag and a length come before the message.
            stream.answer.set_result(Answer(status, bytes(stream.received[5:])))


def _frame(kind: int, flags: int, identity: int, payload: bytes | memoryview) -> bytes:
    size = len(payload)
    return b"".join((struct.pack(">BHBBI", size >> 16, size & 0xFFFF, kind, flags, identity), payload))


@functools.lru_cache
def _request_headers(path: str, timeout_ms: int) -> bytes:
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
        "grpc-timeout": f"{timeout_ms}m",
    }
    # Literals that no table keeps, so that the bytes are the same in every call.
    return b"".join(
        bytes((0, len(name))) + name.encode() + bytes((len(value),)) + value.encode()
        for name, value in fields.items()
    )


def _status(trailers: bytes) -> int:
    """GRPC's status in trailers that are spelt out, which they are for a peer without a header table."""
    at = trailers.index(_STATUS) + len(_STATUS)
    return int(trailers[at + 1 : at + 1 + trailers[at]])

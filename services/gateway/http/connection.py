"""A caller's connection, which is closed when a request does not come."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from services.gateway.http import problems

# From the connection, or the first byte of a later request, to the last header.
HEADERS_TIMEOUT_S = 15.0


class Connection(H11Protocol):
    """Of uvicorn's two parsers the one that bounds the size of headers, 64 KiB, and here their time too.

    Uvicorn waits forever for the first request, and for the rest of one that has begun: a few thousand
    callers who send a header a minute would hold every descriptor of the process. The time of a body is the
    envelope's.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._headers_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # As uvicorn's.
        """Expect a request."""
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        """Expect the rest of a request that is not whole yet."""
        super().data_received(data)
        # None before the first request, which uvicorn does not declare.
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            self._expect()
        else:
            self._rest()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP with a problem, too, and close the connection."""
        answer = problems.of_status(HTTPStatus.BAD_REQUEST, msg)
        headers = [*answer.raw_headers, (b"connection", b"close")]
        for event in (
            h11.Response(status_code=answer.status_code, headers=headers),
            h11.Data(data=bytes(answer.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        self._rest()
        super().connection_lost(exc)

    def _expect(self) -> None:
        if self._headers_due is None:
            self._headers_due = self.loop.call_later(HEADERS_TIMEOUT_S, self.transport.close)

    def _rest(self) -> None:
        if self._headers_due is not None:
            self._headers_due.cancel()
            self._headers_due = None

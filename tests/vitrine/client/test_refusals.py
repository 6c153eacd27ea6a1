from __future__ import annotations

import asyncio

import pytest

from services.mesh.errors import Unavailable
from vitrine.client import AsyncClient

# An empty SETTINGS frame, with which a server of HTTP/2 begins (RFC 9113, 3.4 and 6.5).
_SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


async def test_a_connection_that_breaks_midway_is_told_as_such() -> None:
    """Somebody took the call and went away: this is not called a mesh that does not run."""

    async def take_and_leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(_SETTINGS)
        await reader.readuntil(b"/vitrine.v1.")
        writer.close()

    async with await asyncio.start_server(take_and_leave, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with AsyncClient(f"127.0.0.1:{port}", catalog="shop") as client:
            with pytest.raises(Unavailable, match=rf"the connection to 127\.0\.0\.1:{port} broke") as raised:
                await client.search(text="red shoes")
    assert raised.value.reason == "NO_ANSWER"

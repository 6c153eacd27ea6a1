from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from services.mesh.errors import Unavailable
from vitrine.client import AsyncClient

# An empty SETTINGS frame, with which a server of HTTP/2 begins (RFC 9113, 3.4 and 6.5).
_SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


@pytest.fixture
def leaving() -> Iterator[str]:
    """Where somebody takes one call after another, and goes away each time."""
    taken: list[socket.socket] = []

    def take_and_leave() -> None:
        connection, _ = listener.accept()
        with connection, suppress(ConnectionError):
            taken.append(connection)
            connection.sendall(_SETTINGS)
            told = b""
            while b"/vitrine.v1." not in told and (more := connection.recv(1 << 12)):
                told += more

    def serve() -> None:
        # Until nobody listens any more.
        with suppress(OSError):
            while True:
                take_and_leave()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        for connection in taken:
            # The last one may be of a client that has connected once more, and says nothing.
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        thread.join()


async def test_a_connection_that_breaks_midway_is_told_as_such(leaving: str) -> None:
    """Somebody took the call and went away: this is not called a mesh that does not run."""
    async with AsyncClient(leaving, catalog="shop") as client:
        with pytest.raises(Unavailable, match=rf"the connection to {leaving} broke") as raised:
            await client.search(text="red shoes")
    assert raised.value.reason == "NO_ANSWER"

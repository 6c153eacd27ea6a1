"""Ports for servers that cannot choose one by themselves."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager

# Below what the kernel hands out, which it does to anybody, and below what `tests.meshes` takes.
_FIRST_PORT, _LAST_PORT = 10_000, 20_000


@contextmanager
def reserved() -> Iterator[int]:
    """A port on which nobody listens, at any address of this machine, and that no other test gets meanwhile.

    Whoever has the UDP port of the same number has it.
    """
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    while True:
        # Not `random`, which hypothesis seeds alike in all processes.
        port = _FIRST_PORT + secrets.randbelow(_LAST_PORT - _FIRST_PORT)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as token:
            try:
                token.bind(("127.0.0.1", port))
                socket.create_server(("", port), family=family, dualstack_ipv6=dual).close()
            except OSError:
                continue
            yield port
            return

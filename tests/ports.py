"""Ports for servers that cannot choose one by themselves.

Whoever has the UDP port of the same number has a port: other tests, in other processes too, leave it alone.
"""

from __future__ import annotations

import atexit
import secrets
import socket
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager

from vitrine.supervisor import ports

# Below what the kernel hands out, which it does to anybody, and below what `tests.meshes` takes.
_FIRST_PORT, _LAST_PORT = 10_000, 20_000

_kept = ExitStack()
atexit.register(_kept.close)


@contextmanager
def reserved() -> Iterator[int]:
    """A port on which nobody listens at any address of this machine; no other test gets it meanwhile."""
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    while True:
        # Not `random`, which hypothesis seeds alike in all processes.
        port = _FIRST_PORT + secrets.randbelow(_LAST_PORT - _FIRST_PORT)
        try:
            token = _token(port)
        except OSError:
            continue
        with token:
            try:
                socket.create_server(("", port), family=family, dualstack_ipv6=dual).close()
            except OSError:
                continue
            yield port
            return


def keep(numbers: Collection[int]) -> bool:
    """Keep ports from all other tests until this process ends; False where one of them is not free."""
    with ExitStack() as tokens:
        try:
            for number in numbers:
                tokens.enter_context(_token(number))
        except OSError:
            return False
        if not all(ports.is_free(number) for number in numbers):
            return False
        _kept.push(tokens.pop_all())
    return True


def _token(port: int) -> socket.socket:
    """The UDP port of this number; OSError when another test has it."""
    token = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        token.bind(("127.0.0.1", port))
    except OSError:
        token.close()
        raise
    return token

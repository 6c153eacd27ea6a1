"""Which ports are taken."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping

from services.mesh.errors import FailedPrecondition


def check_free(ports: Mapping[int, str], *, host: str = "127.0.0.1") -> None:
    """Make sure that nothing listens on these ports, given with what they are for.

    Raises FailedPrecondition (reason PORT_IN_USE) naming the first that is taken and the flag that moves it.
    """
    for port, purpose in ports.items():
        if not is_free(port, host=host):
            flag = "--http-port" if purpose == "HTTP" else "--port-base"
            raise FailedPrecondition(
                f"port {port} ({purpose}) is in use; choose others with {flag}", reason="PORT_IN_USE"
            )


def is_free(port: int, *, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on this port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections that linger after a server ended do not keep its port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True

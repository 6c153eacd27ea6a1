"""By which names callers may reach the HTTP server.

A page of another site can have its own name lead to this machine, and a browser then takes this server for
that site's (DNS rebinding). A gateway that is open to all because only this machine can reach it is therefore
only answered under names of this machine.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from http import HTTPStatus

from starlette.exceptions import HTTPException

_LOCAL = ("localhost",)


def allowed(names: Sequence[str], *, listens_on: str, is_open: bool) -> frozenset[str] | None:
    """The names to answer under: `names`, else this machine's own where nothing else protects it.

    None stands for all.
    """
    if names:
        return frozenset(name.lower() for name in names)
    return frozenset(_LOCAL) if is_open and _is_loopback(listens_on) else None


def check(host: str, names: frozenset[str] | None) -> None:
    """Raise HTTPException (421) for a Host header with another name; this machine's addresses always pass."""
    # Browsers always say a name.
    if names is None or not host:
        return
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() and ":" in host else host
    name = name.strip("[]").lower()
    if name not in names and not _is_loopback(name):
        raise HTTPException(
            HTTPStatus.MISDIRECTED_REQUEST, "this server is not reached by that name; see http_names"
        )


def _is_loopback(name: str) -> bool:
    if name.lower() in _LOCAL:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False

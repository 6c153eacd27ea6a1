"""The addresses behind names, for those who call each of them by itself.

A target `dns:///NAME:PORT` stands for all addresses that NAME has, as it does for gRPC (its name syntax,
grpc/doc/naming.md); `dns://SERVER/NAME:PORT` asks that DNS server instead of the system's resolver.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

import dns.asyncresolver
import dns.exception

from services.mesh.errors import Unavailable

TIMEOUT_S = 2.0

_SCHEME = "dns"
_DNS_PORT = 53
# In the order in which they are preferred.
_RECORDS = ("A", "AAAA")
_TRIES = 3
# As many names as this are looked up at once while DNS is silent, at most.
_LOOKUPS = 64


class Lookups:
    """Looks hosts up as the system does, in `threads` of its own.

    Those of the event loop are few and shared, and a name server that does not answer holds one for many
    seconds after the caller has gone. So whoever looks up much has its own. A lookup that was cancelled
    before a thread had begun it is not made.
    """

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="resolve")

    async def addresses(self, host: str) -> list[str]:
        """The IP addresses of a host, each once, as the system sorts them.

        Raises OSError where it has none, and UnicodeError where it cannot be a name.
        """
        lookup = partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, lookup)
        return list(dict.fromkeys(str(address[0]) for _family, _type, _protocol, _name, address in found))


_SYSTEM = Lookups(_LOOKUPS)


@dataclass(frozen=True, slots=True)
class Name:
    """What a target names. `server` and its port are those of the DNS server to ask, "" for the system's."""

    target: str
    host: str
    port: int
    server: str = ""
    server_port: int = _DNS_PORT


def is_name(target: str) -> bool:
    """Whether a target stands for every address behind a name."""
    return target.startswith(f"{_SCHEME}://")


def parsed(target: str) -> Name:
    """The name in a target for which `is_name`; raises ValueError where it lacks a name or a port."""
    problem = f"{target} is no target such as dns:///shard:50060"
    asked = urlsplit(target)
    named = urlsplit(f"//{asked.path.removeprefix('/')}")
    try:
        port, server_port = named.port, asked.port
        if asked.hostname:
            ipaddress.ip_address(asked.hostname)
    except ValueError:
        raise ValueError(problem) from None
    if asked.scheme != _SCHEME or not named.hostname or not port or named.path or asked.query:
        raise ValueError(problem)
    return Name(target, named.hostname, port, asked.hostname or "", server_port or _DNS_PORT)


async def resolve(name: Name, *, timeout_s: float = TIMEOUT_S) -> tuple[str, ...]:
    """All addresses of one family, each with the port (`10.0.0.7:50060`, `[fd00::7]:50060`), in order.

    They are those of IPv4 where there are any, else those of IPv6: a process that has one of each would be
    taken for two. Raises Unavailable when there are none, or none are found within `timeout_s`.
    """
    try:
        async with asyncio.timeout(timeout_s):
            asked = _asked_of_server(name, timeout_s) if name.server else _SYSTEM.addresses(name.host)
            found = _of_one_family(await asked)
    except (OSError, TimeoutError, UnicodeError, dns.exception.DNSException) as error:
        raise Unavailable(f"{name.target} is not resolved: {str(error) or type(error).__name__}") from error
    if not found:
        raise Unavailable(f"{name.target} is not resolved: it has no address")
    return tuple(
        f"[{each}]:{name.port}" if isinstance(each, ipaddress.IPv6Address) else f"{each}:{name.port}"
        for each in found
    )


def _of_one_family(found: Iterable[str]) -> list[ipaddress.IPv4Address] | list[ipaddress.IPv6Address]:
    addresses = {ipaddress.ip_address(each) for each in found}
    first = sorted(each for each in addresses if isinstance(each, ipaddress.IPv4Address))
    return first or sorted(each for each in addresses if isinstance(each, ipaddress.IPv6Address))


async def _asked_of_server(name: Name, timeout_s: float) -> list[str]:
    """The addresses of the first family that has any.

    Both are asked for at once, so that a server that is silent about one costs the other no time.
    """
    resolver = dns.asyncresolver.Resolver(configure=False)
    # A question or an answer that got lost is asked for again, and so is a failure of the server. There is a
    # pause after the last one of this list only.
    resolver.nameservers = [name.server] * _TRIES
    resolver.port = name.server_port
    # What went wrong is told before the time is up.
    resolver.timeout, resolver.lifetime = timeout_s / (_TRIES + 1), timeout_s * 0.9
    asked = [
        asyncio.ensure_future(resolver.resolve(name.host, record, raise_on_no_answer=False))
        for record in _RECORDS
    ]
    failures: list[dns.exception.DNSException] = []
    try:
        for each in asked:
            try:
                answer = await each
            except dns.exception.DNSException as failure:
                failures.append(failure)
            else:
                if answer.rrset:
                    return [record.address for record in answer]
    finally:
        for each in asked:
            each.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    if failures:
        raise failures[0]
    return []

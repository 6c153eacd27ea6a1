"""Addresses: which network a caller's stands for, and whether one can be reached from elsewhere."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from urllib.parse import unquote

# One customer of an IPv6 provider has at least so much.
_IPV6_PREFIX = 64


@lru_cache(maxsize=10_000)
def network_of(peer: str) -> str:
    """The network of `ipv4:10.0.0.7:4242`, `ipv6:%5B::1%5D:4242` (gRPC) or a bare address (ASGI).

    An IPv4 address is one by itself. What is no address, such as a Unix socket, is taken as it is.
    """
    kind, _, place = peer.partition(":")
    if kind == "ipv4":
        return place.rpartition(":")[0]
    address = unquote(place).rpartition(":")[0].strip("[]") if kind == "ipv6" else peer
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return peer
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False).network_address)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`, an address or a name to listen on."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

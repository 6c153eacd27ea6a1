"""Which IP addresses are on the public internet, and which hosts are fetched from although theirs are not."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

# The IANA IPv4 Special-Purpose Address Registry and the multicast and reserved blocks. Written out because
# `ipaddress` calls multicast global, and what it knows of the registry differs between releases of Python.
_NOT_PUBLIC_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; a cloud has its metadata service here
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # looks public, is the platform service inside every virtual network of Azure
        "169.254.0.0/16",  # link-local, and with it the metadata services of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4, withdrawn
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
# The only block that IANA has given out for unicast. Whatever lies outside is loopback, unspecified, private,
# link-local, multicast, IPv4 in disguise, or not in use.
_UNICAST_V6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, among them Teredo, which carries an IPv4 address
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which carries an IPv4 address
        "3fff::/20",  # documentation
    )
)
# RFC 6052. In clusters without IPv4 every public host that has no IPv6 address of its own is reached through
# this prefix, so it is judged by the IPv4 address inside. The other disguises (mapped, 6to4, Teredo) are
# refused whole: no public host is reached through them.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether an IP address in its usual notation is one of the public internet.

    Not public are the private, loopback, link-local, shared, multicast, documentation, reserved and
    unspecified ones, and every IPv6 form that carries such an IPv4 address. Raises ValueError for what is no
    IP address.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        if ip not in _NAT64:
            # `is_global` is asked as well, for what later releases of Python learn of the registry.
            return ip in _UNICAST_V6 and ip.is_global and not any(ip in network for network in _NOT_PUBLIC_V6)
        ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.is_global and not any(ip in network for network in _NOT_PUBLIC_V4)


class AllowedHosts:
    """Hosts that may be fetched from wherever they lead.

    `media.shop.internal` is one host, `.shop.internal` all below that, without itself. Names are in
    ASCII (IDNA) and compared without regard to case and to a dot at the end; an IP address is meant in the
    very notation that is given.
    """

    def __init__(self, hosts: Iterable[str] = ()) -> None:
        names = [host.strip().lower().removesuffix(".") for host in hosts]
        self._names = frozenset(name for name in names if name and not name.startswith("."))
        self._suffixes = tuple(name for name in names if name.startswith("."))

    def __contains__(self, host: str) -> bool:
        name = host.lower().removesuffix(".")
        return name in self._names or name.endswith(self._suffixes)

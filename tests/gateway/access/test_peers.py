from __future__ import annotations

import pytest

from services.gateway.access.peers import is_loopback, network_of


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("ipv4:10.0.0.7:4242", "10.0.0.7"),
        ("10.0.0.7", "10.0.0.7"),
        ("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:4242", "2001:db8:1:2::"),
        ("ipv6:[2001:db8:1:2:3:4:5:6]:4242", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("unix:/run/vitrine.sock", "unix:/run/vitrine.sock"),
        ("", ""),
    ],
)
def test_a_peer_stands_for_its_network(peer: str, network: str) -> None:
    """An IPv4 address is one by itself, an IPv6 address is one of 2^64 of the same caller."""
    assert network_of(peer) == network


@pytest.mark.parametrize(
    ("host", "is_it"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("shop", False),
    ],
)
def test_loopback_is_known(host: str, is_it: bool) -> None:
    """What only this machine can reach is told from what others can."""
    assert is_loopback(host) is is_it

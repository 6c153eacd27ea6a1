from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mesh.fetch.addresses import AllowedHosts, is_public

# What the IANA registries of special-purpose addresses, of multicast and of IPv4 blocks do not call global.
SPECIAL_V4 = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
)
SPECIAL_V6 = (
    "::/128",
    "::1/128",
    "::/96",
    "::ffff:0:0/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
)


def within(networks: tuple[str, ...]) -> st.SearchStrategy[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    return st.sampled_from(networks).flatmap(lambda network: st.ip_addresses(network=network))


@given(within(SPECIAL_V4 + SPECIAL_V6))
def test_no_special_address_is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Whatever lies in a block that the registries set aside is not public."""
    assert not is_public(str(address))


@given(within(SPECIAL_V4), st.integers(0, (1 << 32) - 1))
def test_no_disguise_makes_a_special_address_public(address: ipaddress.IPv4Address, other: int) -> None:
    """Mapped, compatible, 6to4, Teredo and NAT64 forms of such an address are not public either."""
    inside = int(address)
    disguises = (
        inside,
        0xFFFF << 32 | inside,
        0x0064_FF9B << 96 | inside,
        0x0064_FF9B_0001 << 80 | inside,
        0x2002 << 112 | inside << 80 | other,
        0x2001_0000 << 96 | inside << 64 | other,
        0x2001_0000 << 96 | other << 64 | (inside ^ 0xFFFFFFFF),
    )
    for disguise in disguises:
        assert not is_public(str(ipaddress.IPv6Address(disguise)))


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2a00:1450:4001::1",
        "64:ff9b::101:101",
    ],
)
def test_addresses_beside_the_special_ones_are_public(address: str) -> None:
    """What nobody has set aside is public, and so is its form for networks without IPv4."""
    assert is_public(address)


@pytest.mark.parametrize("address", ["169.254.169.254", "100.100.100.200", "168.63.129.16", "fd00:ec2::254"])
def test_metadata_services_of_clouds_are_not_public(address: str) -> None:
    """The addresses where clouds hand out credentials are refused, the one that looks public included."""
    assert not is_public(address)


@pytest.mark.parametrize("address", ["fe80::1%eth0", "fe80::1%25"])
def test_a_scope_changes_nothing(address: str) -> None:
    """A link-local address with its interface is still link-local."""
    assert not is_public(address)


def test_what_is_no_address_is_an_error() -> None:
    """Odd spellings are for the resolver, and never judged here."""
    with pytest.raises(ValueError, match="0x7f"):
        is_public("0x7f.1")


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("media.shop.internal", True),
        ("MEDIA.shop.internal.", True),
        ("a.media.shop.internal", False),
        ("shop.internal", False),
        ("cdn.internal", False),
        ("a.cdn.internal", True),
        ("a.b.cdn.internal", True),
        ("evilcdn.internal", False),
        ("127.0.0.1", True),
        ("127.1", False),
        ("", False),
    ],
)
def test_allowed_hosts_are_meant_exactly_or_by_what_they_end_with(host: str, allowed: bool) -> None:
    """A name means itself alone, a name with a leading dot all that is below it."""
    names = AllowedHosts(["Media.Shop.internal", ".cdn.internal.", "127.0.0.1", "", "."])
    assert (host in names) is allowed


def test_nothing_is_allowed_unless_named() -> None:
    """An empty list allows no host."""
    assert "localhost" not in AllowedHosts()

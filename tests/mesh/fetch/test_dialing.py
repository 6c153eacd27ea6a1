from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import httpcore
import pytest

from services.mesh.errors import InvalidArgument, Unavailable
from services.mesh.fetch.addresses import AllowedHosts
from services.mesh.fetch.dialing import MAX_ADDRESSES_TRIED, PublicDialer, Resolve, system_addresses

PUBLIC, ANOTHER = "1.1.1.1", "2606:4700:4700::1111"


class Network(httpcore.AsyncNetworkBackend):
    """Remembers what was dialled; only `answering` addresses are there."""

    def __init__(self, answering: Sequence[str] = (PUBLIC, ANOTHER, "127.0.0.1")) -> None:
        self.answering = answering
        self.dialled: list[str] = []
        self.shares_s: list[float | None] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # The interface is httpcore's.
        *rest: object,
    ) -> httpcore.AsyncNetworkStream:
        self.dialled.append(host)
        self.shares_s.append(timeout)
        if host not in self.answering:
            raise httpcore.ConnectTimeout
        return httpcore.AsyncNetworkStream()


def resolver(*addresses: str) -> Resolve:
    async def resolve(host: str) -> Sequence[str]:
        return addresses

    return resolve


def dialer(network: Network, resolve: Resolve, *allowed: str) -> PublicDialer:
    return PublicDialer(allowed=AllowedHosts(allowed), resolve=resolve, dial=network)


async def test_the_address_that_was_checked_is_dialled() -> None:
    """The name is not handed on, so that nobody resolves it a second time."""
    network = Network()
    await dialer(network, resolver(PUBLIC)).connect_tcp("shop.example", 80)
    assert network.dialled == [PUBLIC]


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], [PUBLIC, "10.0.0.1"], ["10.0.0.1", PUBLIC], [PUBLIC, "::ffff:127.0.0.1"]]
)
async def test_a_host_with_any_address_that_is_not_public_is_refused(addresses: list[str]) -> None:
    """One private address among public ones is enough; nothing is dialled and none of them is told."""
    network = Network()
    with pytest.raises(InvalidArgument) as caught:
        await dialer(network, resolver(*addresses)).connect_tcp("shop.example", 80)
    assert caught.value.reason == "URI_REFUSED"
    assert not any(address in str(caught.value) for address in addresses)
    assert network.dialled == []


async def test_an_allowed_host_may_lead_anywhere() -> None:
    """Where the deployment allows a host, its address does not matter; its neighbours are still refused."""
    network = Network()
    guarded = dialer(network, resolver("127.0.0.1"), ".internal")
    await guarded.connect_tcp("media.internal", 80)
    assert network.dialled == ["127.0.0.1"]
    with pytest.raises(InvalidArgument):
        await guarded.connect_tcp("internal", 80)


async def test_a_name_that_changes_its_address_is_judged_each_time() -> None:
    """A name that was public a moment ago is refused when it no longer is."""
    answers = iter([[PUBLIC], ["127.0.0.1"]])

    async def resolve(host: str) -> Sequence[str]:
        return next(answers)

    network = Network()
    guarded = dialer(network, resolve)
    await guarded.connect_tcp("shop.example", 80)
    with pytest.raises(InvalidArgument):
        await guarded.connect_tcp("shop.example", 80)
    assert network.dialled == [PUBLIC]


async def test_the_next_address_is_tried_and_time_is_left_for_it() -> None:
    """Where the first address does not answer the second is dialled, within its share of the time."""
    network = Network(answering=[ANOTHER])
    await dialer(network, resolver(PUBLIC, ANOTHER)).connect_tcp("shop.example", 80, timeout=600)
    assert network.dialled == [PUBLIC, ANOTHER]
    first_s, second_s = network.shares_s
    assert first_s is not None
    assert second_s is not None
    assert first_s <= 300 < second_s


async def test_a_host_that_never_answers_is_given_up() -> None:
    """The number of addresses tried is bounded, and the last failure is the one told."""
    network = Network(answering=[])
    addresses = [f"1.1.1.{number}" for number in range(50)]
    with pytest.raises(httpcore.ConnectTimeout):
        await dialer(network, resolver(*addresses)).connect_tcp("shop.example", 80)
    assert network.dialled == addresses[:MAX_ADDRESSES_TRIED]


@pytest.mark.parametrize("error", [socket.gaierror(-2, "unknown"), OSError(), UnicodeError()])
async def test_a_name_without_address_is_unavailable(error: Exception) -> None:
    """Whatever the resolver raises means that the host was not found."""

    async def resolve(host: str) -> Sequence[str]:
        raise error

    for failing in (resolve, resolver()):
        with pytest.raises(Unavailable) as caught:
            await dialer(Network(), failing).connect_tcp("shop.example", 80)
        assert caught.value.reason == "URI_UNAVAILABLE"


async def test_a_resolver_that_hangs_is_left() -> None:
    """Finding the address counts as connecting, and ends with its time."""

    async def resolve(host: str) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    with pytest.raises(httpcore.ConnectTimeout):
        await dialer(Network(), resolve).connect_tcp("shop.example", 80, timeout=0.01)


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "127.1", "0177.0.0.1"])
async def test_the_system_reads_odd_spellings(host: str) -> None:
    """The resolver makes one address of all spellings, which is why its answer is what is checked."""
    assert await system_addresses(host) == ["127.0.0.1"]

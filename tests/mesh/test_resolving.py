from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
import trustme

from benchmarks.rollout.names import Names
from services.mesh import channel, resolving
from services.mesh.channel import call
from services.mesh.errors import Unavailable
from services.mesh.resolving import Lookups, Name, is_name, parsed
from tests.mesh.hosts import running
from vitrine.v1 import ranker_pb2, ranker_pb2_grpc

IPV4, IPV6 = "10.0.0.7", "fd00::7"
LOST = -1
# How often a question is asked at least before it is given up.
TRIES = 3


async def nothing() -> None:
    pass


class Scripted(asyncio.DatagramProtocol):
    """A DNS server that answers as `answer` says, given the type asked for and how often it was already.

    It gives an address, "" for none, or an error: LOST is no answer at all.
    """

    def __init__(self, answer: Callable[[str, int], str | int]) -> None:
        self.asked = {"A": 0, "AAAA": 0}
        self._answer = answer
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, caller: Any) -> None:
        assert self._transport is not None
        query = dns.message.from_wire(data)
        [question] = query.question
        kind = dns.rdatatype.to_text(question.rdtype)
        told = self._answer(kind, self.asked[kind])
        self.asked[kind] += 1
        if told == LOST:
            return
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        if isinstance(told, int):
            reply.set_rcode(dns.rcode.Rcode(told))
        elif told:
            reply.answer.append(dns.rrset.from_text(question.name, 0, "IN", kind, told))
        self._transport.sendto(reply.to_wire(), caller)

    @asynccontextmanager
    async def served(self) -> AsyncIterator[Name]:
        """A name that this server is asked for."""
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", 0)
        )
        try:
            yield parsed(f"dns://127.0.0.1:{transport.get_extra_info('sockname')[1]}/shard.test:1")
        finally:
            transport.close()


class System:
    """The system's resolver: `known` hosts have addresses, and others are never answered until `end`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **known: list[str]) -> None:
        self.known = known
        self.asked: list[str] = []
        self.end = threading.Event()
        self._really = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._found)

    def _found(self, host: str, *rest: Any, **options: Any) -> list[Any]:
        self.asked.append(host)
        if host in self.known:
            return [entry for each in self.known[host] for entry in self._really(each, *rest, **options)]
        self.end.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "not answered")


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    """One that knows this machine, and a host with addresses of both families."""
    made = System(monkeypatch, localhost=["127.0.0.1"], both=[IPV6, IPV4], late=[IPV6])
    yield made
    made.end.set()


@pytest.fixture
def names() -> Iterator[Names]:
    """A DNS server that tells every change at once."""
    served = Names(ttl_s=0)
    with served.served():
        yield served


def test_a_target_names_a_host_a_port_and_perhaps_who_to_ask() -> None:
    """The syntax is gRPC's; what has no scheme is no name."""
    assert not is_name("127.0.0.1:50060")
    assert parsed("dns:///shard:50060") == Name("dns:///shard:50060", "shard", 50060)
    asked = parsed("dns://10.0.0.1/a.b.svc:1")
    assert (asked.host, asked.port, asked.server, asked.server_port) == ("a.b.svc", 1, "10.0.0.1", 53)
    asked = parsed("dns://[::1]:5353/a:1")
    assert (asked.server, asked.server_port) == ("::1", 5353)


@pytest.mark.parametrize(
    "target",
    [
        *("dns://", "dns:///", "dns:///shard", "dns:///:1", "dns:///shard:0", "dns:///shard:x"),
        *("dns:///a:1/b", "dns://name/shard:1", "dns://10.0.0.1:x/shard:1", "dns:///shard:70000"),
        "dns:///shard:1?x",
    ],
)
def test_a_target_that_names_nothing_is_refused(target: str) -> None:
    """A missing name or port, or a DNS server that is no address, is told with the target."""
    with pytest.raises(ValueError, match="is no target"):
        parsed(target)


async def test_the_system_knows_this_machine() -> None:
    """Addresses of the system's resolver come with the port, and each once."""
    assert await resolving.resolve(parsed("dns:///localhost:50060"), timeout_s=60) == ("127.0.0.1:50060",)


async def test_addresses_are_of_one_family(system: System) -> None:
    """A process that has an address of each is found once: by IPv4 if it has that, else by IPv6."""
    assert await resolving.resolve(parsed("dns:///both:1"), timeout_s=60) == (f"{IPV4}:1",)
    assert await resolving.resolve(parsed("dns:///late:1"), timeout_s=60) == (f"[{IPV6}]:1",)


async def test_silent_names_keep_no_thread_of_the_event_loop(system: System) -> None:
    """However many lookups never end, others of the same process are answered."""
    silent = [parsed(f"dns:///shard-{number}.svc:1") for number in range(64)]
    outcomes = await asyncio.gather(
        *(resolving.resolve(name, timeout_s=0.2) for name in silent), return_exceptions=True
    )
    assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
    async with asyncio.timeout(60):
        assert await asyncio.get_running_loop().getaddrinfo("localhost", 1)
        assert await Lookups(1).addresses("localhost") == ["127.0.0.1"]


async def test_a_lookup_that_nobody_waits_for_is_not_made(system: System) -> None:
    """What is cancelled while it waits for a thread costs none later."""
    lookups = Lookups(1)
    first = asyncio.create_task(lookups.addresses("silent"))
    async with asyncio.timeout(60):
        while not system.asked:  # noqa: ASYNC110 - the resolver is in another thread and knows no events
            await asyncio.sleep(0.01)
        given_up = asyncio.create_task(lookups.addresses("localhost"))
        await asyncio.sleep(0)
        given_up.cancel()
        last = asyncio.create_task(lookups.addresses("both"))
        await asyncio.sleep(0)
        system.end.set()
        assert await last == [IPV6, IPV4]
    assert system.asked[0] == "silent"
    assert "localhost" not in system.asked
    with pytest.raises(OSError, match="not answered"):
        await first


async def test_an_address_stands_for_itself() -> None:
    """A target may name an address too, of either family."""
    assert await resolving.resolve(parsed("dns:///127.0.0.7:1"), timeout_s=60) == ("127.0.0.7:1",)


async def test_a_server_that_is_named_is_asked(names: Names) -> None:
    """All addresses that a DNS server knows are found, in order, and changes are seen."""
    target = parsed(names.target("shard.test", 50060))
    with pytest.raises(Unavailable, match=r"shard\.test"):
        await resolving.resolve(target, timeout_s=60)
    names.add("shard.test", "127.0.0.10")
    names.add("shard.test", "127.0.0.9")
    assert await resolving.resolve(target, timeout_s=60) == ("127.0.0.9:50060", "127.0.0.10:50060")
    names.remove("shard.test", "127.0.0.9")
    assert await resolving.resolve(target, timeout_s=60) == ("127.0.0.10:50060",)


@pytest.mark.parametrize(("problem", "times"), [(LOST, 1), (dns.rcode.SERVFAIL, TRIES - 1)])
async def test_what_was_not_answered_is_asked_for_again(
    problem: int, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name is found as long as one of several questions about it is answered."""
    if problem == LOST:
        # An answer is waited for for a second, and all of them for long: machines stand still.
        monkeypatch.setattr(resolving, "_TRIES", 59)
    server = Scripted(lambda kind, before: problem if before < times else IPV4 if kind == "A" else "")
    async with server.served() as name:
        assert await resolving.resolve(name, timeout_s=60) == (f"{IPV4}:1",)
    assert server.asked["A"] > times


@pytest.mark.parametrize("problem", [LOST, dns.rcode.SERVFAIL, dns.rcode.NXDOMAIN, dns.rcode.REFUSED])
async def test_one_family_is_found_without_the_other(problem: int) -> None:
    """Whatever is wrong with the other; a server that is silent about IPv6 alone costs no time."""
    async with Scripted(lambda kind, _: IPV4 if kind == "A" else problem).served() as name:
        async with asyncio.timeout(60):
            # It would not come to an end in the time of this test if it waited.
            assert await resolving.resolve(name, timeout_s=6_000) == (f"{IPV4}:1",)
    if problem != LOST:
        async with Scripted(lambda kind, _: problem if kind == "A" else IPV6).served() as name:
            assert await resolving.resolve(name, timeout_s=60) == (f"[{IPV6}]:1",)


@pytest.mark.parametrize(
    ("problem", "said"),
    [("", "has no address"), (dns.rcode.SERVFAIL, "SERVFAIL"), (dns.rcode.NXDOMAIN, "does not exist")],
)
async def test_a_name_without_any_address_is_told_with_the_reason(problem: str | int, said: str) -> None:
    """Nothing of both families, or an error for one of them and nothing of the other."""
    for kinds in (("A", "AAAA"), ("A",), ("AAAA",)):
        async with Scripted(lambda kind, _, kinds=kinds: problem if kind in kinds else "").served() as name:  # type: ignore[misc]  # the default binds the loop's value
            with pytest.raises(Unavailable, match=said):
                await resolving.resolve(name, timeout_s=60)


async def test_a_name_that_nobody_has_is_unavailable() -> None:
    """The system's answer that there is no such name is a domain error."""
    with pytest.raises(Unavailable, match="is not resolved"):
        await resolving.resolve(parsed("dns:///nobody.invalid:1"), timeout_s=60)


async def test_a_server_that_does_not_answer_is_not_waited_for() -> None:
    """The time is bounded: a DNS server that is silent makes the name unavailable."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        with pytest.raises(Unavailable, match="is not resolved"):
            await resolving.resolve(parsed(f"dns://127.0.0.1:{port}/shard:1"), timeout_s=0.2)


@pytest.mark.parametrize(
    ("server_name", "is_trusted"), [("shard.example", True), ("", False), ("a.b", False)]
)
async def test_an_address_behind_a_name_is_verified_by_the_name(
    tmp_path: Path, server_name: str, *, is_trusted: bool
) -> None:
    """A server that is called at its address is trusted if its certificate is for the name."""
    authority = trustme.CA()
    issued = authority.issue_cert("shard.example")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "certificate.pem"))
    tls = channel.credentials(ca=tmp_path / "ca.pem")
    async with (
        running(nothing, tls_certificate=tmp_path / "certificate.pem", tls_key=tmp_path / "key.pem") as host,
        channel.connect(f"127.0.0.1:{host.port}", tls=tls, server_name=server_name) as connection,
    ):
        stub = ranker_pb2_grpc.RankerServiceStub(connection)
        request = ranker_pb2.RankRequest(limit=7)
        if is_trusted:
            assert (await call(stub.Rank, request, timeout_s=60)).dropped_count == 7
        else:
            with pytest.raises(Unavailable):
                await call(stub.Rank, request, timeout_s=60)

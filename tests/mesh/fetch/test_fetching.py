from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import vitrine
from services.mesh import deadline
from services.mesh.errors import (
    DeadlineExceeded,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
    VitrineError,
)
from services.mesh.fetch import fetching as fetching_module
from services.mesh.fetch import hosts
from services.mesh.fetch.dialing import system_addresses
from services.mesh.fetch.fetching import Fetcher
from tests.mesh.fetch.servers import PATIENT, Detour, Reply, Server, fetching, reply, serving

PUBLIC = "1.1.1.1"


async def silence(writer: asyncio.StreamWriter) -> None:
    """Never says a word."""
    await asyncio.Event().wait()


async def drip(writer: asyncio.StreamWriter) -> None:
    """Sends the beginning of a picture, and keeps the rest."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nGIF8")
    await writer.drain()
    await asyncio.Event().wait()


async def flood(writer: asyncio.StreamWriter) -> None:
    """Sends chunks for as long as anyone takes them."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"400\r\n" + bytes(1024) + b"\r\n")
        await writer.drain()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving() as running:
        yield running


async def failure(fetcher: Fetcher, uri: str) -> VitrineError:
    with pytest.raises(VitrineError) as caught:
        await fetcher.fetch(uri)
    return caught.value


async def test_a_picture_is_fetched(server: Server) -> None:
    """What the server sends is what comes back, with a known length and in chunks."""
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    server.replies = {"/a.jpg?w=1": reply(200, b"picture"), "/chunked": chunked, "/empty": reply(200)}
    async with fetching() as fetcher:
        assert await fetcher.fetch(f"{server.here}/a.jpg?w=1#top") == b"picture"
        assert await fetcher.fetch(f"{server.here}/chunked") == b"abcde"
        assert await fetcher.fetch(f"{server.here}/empty") == b""


async def test_requests_say_who_asks_and_give_nothing_else_away(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks, the host and what is wanted are sent; proxies, passwords and cookies are not used."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{unused.getsockname()[1]}")
        server.replies = {"/a": reply(200, b"a", "Set-Cookie: id=1"), "/b": reply(200, b"b")}
        async with fetching() as fetcher:
            await fetcher.fetch(f"{server.here}/a")
            await fetcher.fetch(f"{server.here}/b")
    assert server.requests[1].split("\r\n") == [
        "GET /b HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        f"User-Agent: vitrine/{vitrine.__version__}",
        "Accept: image/*",
        "Accept-Encoding: identity",
        "",
        "",
    ]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "127.0.0.1.",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "0",
        "127。0。0。1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[0:0:0:0:0:ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "169.254.169.254",
        "10.0.0.1",
        "[fe80::1]",
    ],
)
async def test_no_spelling_leads_into_private_networks(server: Server, host: str) -> None:
    """Loopback and private addresses are refused however they are written, and never dialled."""
    dial = Detour(server.port)
    async with fetching(allowed_hosts=["media.internal"], dial=dial) as fetcher:
        error = await failure(fetcher, f"http://{host}:8080/a")
    assert isinstance(error, InvalidArgument)
    assert (error.field, error.reason) == ("uri", "URI_REFUSED")
    assert "127" not in error.message
    assert dial.dialled == []


async def test_the_port_is_looked_at_before_the_host(server: Server) -> None:
    """On a host that is not allowed by name, only the usual ports of the web are asked."""
    async with fetching(allowed_hosts=[]) as fetcher:
        assert (await failure(fetcher, f"{server.here}/a")).reason == "URI_REFUSED"
    assert server.requests == []


async def test_a_name_that_moves_into_a_private_network_is_refused(server: Server) -> None:
    """A name that was public for the first picture and is private for the second gives the first only."""
    answers = iter([[PUBLIC], ["127.0.0.1"]])

    async def resolve(host: str) -> Sequence[str]:
        return next(answers)

    server.replies = {"/a": reply(200, b"a", "Connection: close"), "/b": reply(200, b"b")}
    dial = Detour(server.port)
    async with fetching(resolve=resolve, dial=dial) as fetcher:
        assert await fetcher.fetch("http://shop.example/a") == b"a"
        assert (await failure(fetcher, "http://shop.example/b")).reason == "URI_REFUSED"
    assert dial.dialled == [PUBLIC]
    assert server.paths == ["/a"]


async def test_an_open_connection_is_used_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of one host come over one connection, whose address was checked when it was made."""
    monkeypatch.setattr(fetching_module, "_KEEPALIVE_S", 60.0)
    server.replies = {"/a": reply(200, b"a"), "/b": reply(200, b"b")}
    dial = Detour(server.port)

    async def resolve(host: str) -> Sequence[str]:
        return [PUBLIC]

    async with fetching(resolve=resolve, dial=dial) as fetcher:
        assert await fetcher.fetch("http://shop.example/a") == b"a"
        assert await fetcher.fetch("http://shop.example/b") == b"b"
    assert dial.dialled == [PUBLIC]


async def test_redirects_are_followed(server: Server) -> None:
    """As many as allowed, relative and absolute ones, and to other hosts."""
    server.replies = {
        "/1": reply(301, b"moved", "Location: 2"),
        "/2": reply(302, b"", f"Location: http://localhost:{server.port}/3"),
        "/3": reply(308, b"", "Location: /4"),
        "/4": reply(200, b"picture"),
    }
    async with fetching() as fetcher:
        assert await fetcher.fetch(f"{server.here}/1") == b"picture"
    async with fetching(replace(PATIENT, max_redirects=2)) as fetcher:
        error = await failure(fetcher, f"{server.here}/1")
    assert error.reason == "URI_REFUSED"
    assert "2 times" in error.message


async def test_a_circle_of_redirects_ends(server: Server) -> None:
    """A server that sends us back and forth is left after the redirects allowed."""
    server.replies = {"/a": reply(302, b"", "Location: /b"), "/b": reply(302, b"", "Location: /a")}
    async with fetching() as fetcher:
        assert (await failure(fetcher, f"{server.here}/a")).reason == "URI_REFUSED"
    assert server.paths == ["/a", "/b", "/a", "/b"]


@pytest.mark.parametrize(
    "location",
    [
        "http://localhost:8080/secret",
        "http://169.254.169.254/latest/meta-data",
        "http://[::ffff:10.0.0.1]/",
        "file:///etc/passwd",
        "http://user@127.0.0.1/",
        "http://a..b/",
        "http://\x80/",
    ],
)
async def test_redirects_do_not_lead_where_addresses_must_not(server: Server, location: str) -> None:
    """Each redirect is checked as if it had been asked for, and nothing of it is told."""
    server.replies = {"/a": reply(302, b"", f"Location: {location}")}
    async with fetching(allowed_hosts=["127.0.0.1"]) as fetcher:
        error = await failure(fetcher, f"{server.here}/a")
    assert error.reason == "URI_REFUSED"
    assert location not in error.message
    assert server.paths == ["/a"]


async def test_too_much_is_refused_before_it_is_sent(server: Server) -> None:
    """A length beyond the limit is enough to refuse; the limit itself is allowed."""

    async def announce(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1025\r\n\r\n")
        await silence(writer)

    server.replies = {"/whole": reply(200, bytes(1024)), "/more": announce}
    async with fetching(replace(PATIENT, max_bytes=1024)) as fetcher:
        assert await fetcher.fetch(f"{server.here}/whole") == bytes(1024)
        error = await failure(fetcher, f"{server.here}/more")
    assert isinstance(error, InvalidArgument)
    assert (error.field, error.reason) == ("uri", "IMAGE_TOO_LARGE")
    assert "1024" in error.message


async def test_a_flood_is_cut_off(server: Server) -> None:
    """A body without a length is read up to the limit and no further."""
    server.replies = {"/a": flood}
    async with fetching(replace(PATIENT, max_bytes=100_000)) as fetcher:
        assert (await failure(fetcher, f"{server.here}/a")).reason == "IMAGE_TOO_LARGE"


async def test_what_is_compressed_is_refused(server: Server) -> None:
    """A body whose size says nothing of what is in it is not taken; `identity` means it is as it is."""
    server.replies = {
        "/a": reply(200, b"x", "Content-Encoding: gzip"),
        "/b": reply(200, b"x", "Content-Encoding: Identity"),
    }
    async with fetching() as fetcher:
        assert (await failure(fetcher, f"{server.here}/a")).reason == "URI_NOT_FOUND"
        assert await fetcher.fetch(f"{server.here}/b") == b"x"


@pytest.mark.parametrize("slow", [silence, drip])
async def test_a_slow_server_is_left(server: Server, slow: Reply) -> None:
    """A server that says nothing, or never ends, is left when the time of the fetch is over."""
    server.replies = {"/a": slow}
    async with fetching(replace(PATIENT, timeout_s=0.2)) as fetcher:
        error = await failure(fetcher, f"{server.here}/a")
    assert isinstance(error, Unavailable)
    assert error.reason == "URI_UNAVAILABLE"


async def test_the_callers_deadline_counts_too(server: Server) -> None:
    """A fetch ends with the call it is for, and does not begin when that is over."""
    server.replies = {"/a": drip}
    async with fetching() as fetcher:
        with deadline.within(0.2):
            assert isinstance(await failure(fetcher, f"{server.here}/a"), DeadlineExceeded)
        with deadline.within(0):
            assert isinstance(await failure(fetcher, f"{server.here}/b"), DeadlineExceeded)
    assert "/b" not in server.paths


async def test_what_was_left_gives_its_place_back(server: Server) -> None:
    """After fetches that were cut off, and ones that were cancelled, there is room for others."""
    begun = asyncio.Event()

    async def begin(writer: asyncio.StreamWriter) -> None:
        begun.set()
        await drip(writer)

    server.replies = {"/slow": begin, "/a": reply(200, b"a"), "/flood": flood}
    limits = replace(PATIENT, max_concurrent=1, max_concurrent_per_host=1, max_bytes=1000)
    async with fetching(limits) as fetcher:
        for _ in range(3):
            with deadline.within(0.1):
                assert isinstance(await failure(fetcher, f"{server.here}/slow"), DeadlineExceeded)
            assert (await failure(fetcher, f"{server.here}/flood")).reason == "IMAGE_TOO_LARGE"
            begun.clear()
            leaving = asyncio.create_task(fetcher.fetch(f"{server.here}/slow"))
            async with asyncio.timeout(60):
                await begun.wait()
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
            assert await fetcher.fetch(f"{server.here}/a") == b"a"


@pytest.mark.parametrize("status", [204, 206, 304, 302, 400, 401, 403, 404, 410, 451])
async def test_answers_without_a_picture(server: Server, status: int) -> None:
    """Whatever is not 200 and no fault of the server is an address that gives no picture."""
    server.replies = {"/a": reply(status)}
    async with fetching() as fetcher:
        error = await failure(fetcher, f"{server.here}/a")
    assert isinstance(error, InvalidArgument)
    assert (error.field, error.reason) == ("uri", "URI_NOT_FOUND")
    assert str(status) in error.message


@pytest.mark.parametrize("status", [500, 502, 503, 599])
async def test_failing_servers_are_unavailable(server: Server, status: int) -> None:
    """A server's own failure may be over at the next try, which it is asked for."""
    server.replies = {"/a": reply(status), "/b": reply(200, b"b")}
    async with fetching() as fetcher:
        error = await failure(fetcher, f"{server.here}/a")
        assert isinstance(error, Unavailable)
        assert error.reason == "URI_UNAVAILABLE"
        assert await fetcher.fetch(f"{server.here}/b") == b"b"


async def test_a_host_that_wants_fewer_requests_is_left_alone(server: Server) -> None:
    """After a 429 its host is not asked for as long as it says, and other hosts are."""
    server.replies = {"/a": reply(429, b"", "Retry-After: 120"), "/b": reply(200, b"b")}
    async with fetching() as fetcher:
        first = await failure(fetcher, f"{server.here}/a")
        second = await failure(fetcher, f"{server.here}/b")
        for error in (first, second):
            assert isinstance(error, ResourceExhausted)
            assert error.reason == "URI_RATE_LIMITED"
            assert 0 < error.retry_after_s < 120.1
        assert await fetcher.fetch(f"http://localhost:{server.port}/b") == b"b"
    assert server.paths == ["/a", "/b"]


async def test_a_host_that_forbids_everything_is_left_alone(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One forbidden picture is that; after a row of them the host is not asked for the next."""
    monkeypatch.setattr(hosts, "MIN_HOLD_S", 30.0)
    server.replies = {"/a": reply(403)}
    async with fetching() as fetcher:
        reasons = [(await failure(fetcher, f"{server.here}/a")).reason for _ in range(4)]
    assert reasons == ["URI_NOT_FOUND", "URI_NOT_FOUND", "URI_RATE_LIMITED", "URI_RATE_LIMITED"]
    assert len(server.requests) == 3


async def test_a_server_in_maintenance_is_left_alone(server: Server) -> None:
    """A 503 that says for how long is an outage, and is asked again only after it."""
    server.replies = {"/a": reply(503, b"", "Retry-After: Fri, 01 Jan 2100 00:00:00 GMT")}
    async with fetching() as fetcher:
        first = await failure(fetcher, f"{server.here}/a")
        second = await failure(fetcher, f"{server.here}/a")
    assert isinstance(first, Unavailable)
    assert first.retry_after_s == pytest.approx(600)
    assert second.reason == "URI_RATE_LIMITED"
    assert len(server.requests) == 1


async def test_no_host_is_asked_more_often_than_allowed(server: Server) -> None:
    """A request that cannot have its turn in time is told when to come back, without being sent."""
    server.replies = {"/a": reply(200, b"a")}
    async with fetching(replace(PATIENT, max_per_host_per_s=0.001)) as fetcher:
        assert await fetcher.fetch(f"{server.here}/a") == b"a"
        error = await failure(fetcher, f"{server.here}/a")
    assert isinstance(error, ResourceExhausted)
    assert error.reason == "URI_RATE_LIMITED"
    assert 60 < error.retry_after_s < 1000.1
    assert len(server.requests) == 1


async def test_a_host_is_asked_for_so_many_at_once(server: Server) -> None:
    """Of many pictures of one host some are on their way, and all arrive."""
    most = 0
    now = 0

    async def count(writer: asyncio.StreamWriter) -> None:
        nonlocal most, now
        now += 1
        most = max(most, now)
        for _ in range(20):
            await asyncio.sleep(0)
        now -= 1
        writer.write(reply(200, b"a", "Connection: close"))
        await writer.drain()

    server.replies = {"/a": count}
    async with fetching(replace(PATIENT, max_concurrent_per_host=3)) as fetcher:
        bodies = await asyncio.gather(*(fetcher.fetch(f"{server.here}/a") for _ in range(12)))
    assert bodies == [b"a"] * 12
    assert most <= 3


async def test_hosts_that_are_not_there_are_unavailable() -> None:
    """A name without address, a port that nobody listens on, and a resolver that hangs."""

    async def unknown(host: str) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    async def hanging(host: str) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{unused.getsockname()[1]}/a"
        hurried = replace(PATIENT, connect_timeout_s=0.05)
        for limits, resolve in ((PATIENT, unknown), (PATIENT, system_addresses), (hurried, hanging)):
            async with fetching(limits, resolve=resolve) as fetcher:
                error = await failure(fetcher, uri)
            assert isinstance(error, Unavailable)
            assert error.reason == "URI_UNAVAILABLE"
            assert "127" not in error.message


@pytest.mark.parametrize(
    "words",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut off",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 1_000_000,
        b"HTTP/1.1 9 OK\r\n\r\n",
    ],
)
async def test_servers_that_do_not_speak_http_are_unavailable(server: Server, words: bytes) -> None:
    """Nonsense, and a picture that is cut off, are failures of the host."""

    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        await writer.drain()

    server.replies = {"/a": say}
    async with fetching() as fetcher:
        error = await failure(fetcher, f"{server.here}/a")
    assert error.reason == "URI_UNAVAILABLE"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate with its key for `shop.example`, signed by itself."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed, and Python makes no certificates")
    directory = tmp_path_factory.mktemp("certificate")
    key, signed = directory / "key.pem", directory / "certificate.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", str(key), "-out", str(signed), "-days", "30", "-subj", "/CN=shop.example"),
            *("-addext", "subjectAltName=DNS:shop.example"),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    both = directory / "both.pem"
    both.write_bytes(key.read_bytes() + signed.read_bytes())
    return both


async def test_certificates_are_checked_against_the_name(certificate: Path) -> None:
    """TLS asks for the name and checks it, though an address is dialled; who is unknown is refused."""
    serves = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serves.load_cert_chain(certificate)

    async def resolve(host: str) -> Sequence[str]:
        return [PUBLIC]

    async with serving(serves) as server:
        server.replies = {"/a": reply(200, b"a")}
        dial = Detour(server.port)
        trusts = ssl.create_default_context(cafile=str(certificate))
        async with fetching(resolve=resolve, dial=dial, ssl_context=trusts) as fetcher:
            assert await fetcher.fetch("https://shop.example/a") == b"a"
            another = await failure(fetcher, "https://other.example/a")
        of_its_own = Fetcher(PATIENT, resolve=resolve, dial=dial)
        stranger = await failure(of_its_own, "https://shop.example/a")
        await of_its_own.aclose()
    assert another.reason == stranger.reason == "URI_UNAVAILABLE"
    assert server.names == ["shop.example", "other.example", "shop.example"]
    assert len(server.requests) == 1
    assert "\r\nHost: shop.example\r\n" in server.requests[0]
    assert dial.dialled == [PUBLIC] * 3


async def test_a_better_address_is_asked_first(server: Server) -> None:
    """A picture of Cloudinary is asked for at a bounded size, and as it is given where that is refused."""
    bounded = "/demo/image/upload/c_limit,w_1280,h_1280,q_auto,f_jpg/"
    server.replies = {
        f"{bounded}a.jpg": reply(200, b"small"),
        "/demo/image/upload/b.jpg": reply(200, b"whole"),
    }

    async def resolve(host: str) -> Sequence[str]:
        return [PUBLIC]

    async with fetching(resolve=resolve, dial=Detour(server.port)) as fetcher:
        for name, wanted in (("a.jpg", b"small"), ("b.jpg", b"whole")):
            assert await fetcher.fetch(f"http://res.cloudinary.com/demo/image/upload/{name}") == wanted
        error = await failure(fetcher, "http://res.cloudinary.com/demo/image/upload/c.jpg")
    assert error.reason == "URI_NOT_FOUND"
    assert server.paths == [
        f"{bounded}a.jpg",
        f"{bounded}b.jpg",
        "/demo/image/upload/b.jpg",
        f"{bounded}c.jpg",
        "/demo/image/upload/c.jpg",
    ]

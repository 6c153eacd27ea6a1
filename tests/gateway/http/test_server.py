from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
import trustme
from prometheus_client import REGISTRY

from services.gateway.http import connection, serve
from tests.gateway.http.conftest import Site, reachable, running
from tests.gateway.http.fakes import Flows, HttpSettings, Media, Search
from tests.ports import reserved
from vitrine.v1 import search_pb2


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lasting(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A server for requests that change nothing."""
    async with running(tmp_path_factory.mktemp("media"), HttpSettings()) as site:
        yield site


@pytest.mark.asyncio(loop_scope="module")
async def test_the_port_answers(lasting: Site) -> None:
    """A real port serves the page and the probes, and does not tell what serves them."""
    # A connection that is kept alive is closed while the machine stalls.
    async with httpx.AsyncClient(base_url=lasting.url, headers={"connection": "close"}) as client:
        assert (await client.get("/healthz")).text == "ok"
        page = await client.get("/")
    assert page.status_code == 200
    assert "server" not in page.headers


async def test_all_addresses_of_a_machine_are_one_setting(tmp_path: Path) -> None:
    """With `::` both kinds of addresses lead to the page."""
    async with running(tmp_path, replace(HttpSettings(), http_host="::")) as site:
        port = site.url.rpartition(":")[2]
        async with httpx.AsyncClient() as client:
            for address in ("127.0.0.1", "[::1]"):
                assert (await client.get(f"http://{address}:{port}/healthz")).text == "ok"


async def test_signals_are_left_to_the_host(tmp_path: Path, settings: HttpSettings) -> None:
    """The process's own handlers stay, since it drains gRPC too."""
    own = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)]
    async with running(tmp_path, settings):
        assert [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)] == own


async def test_a_port_in_use_is_a_clear_error(tmp_path: Path) -> None:
    """The error names the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = replace(HttpSettings(), http_port=port)
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port} for HTTP: is the port in use"):
            await serve(settings, Flows(Media(tmp_path)))


async def refused(port: int) -> None:
    """Wait until nobody listens any more."""
    async with asyncio.timeout(60):
        with contextlib.suppress(ConnectionError):
            while True:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await asyncio.sleep(0.01)


async def test_cancelling_lets_requests_in_hand_end(tmp_path: Path) -> None:
    """A request in hand is still answered when the server is told to stop; then the port is free."""
    begun, release = asyncio.Event(), asyncio.Event()

    class Slow(Search):
        async def search(self, request: search_pb2.SearchRequest) -> search_pb2.SearchResponse:
            begun.set()
            await release.wait()
            return await super().search(request)

    flows = Flows(Media(tmp_path))
    flows.search = Slow([])
    with reserved() as port:
        serving = asyncio.create_task(serve(replace(HttpSettings(), http_port=port, drain_s=60), flows))
        await reachable(port, serving)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            asking = asyncio.create_task(
                client.post("/v1/catalogs/demo:search", json={"parts": [{"text": "red"}]})
            )
            await begun.wait()
            serving.cancel()
            # From then on the server knows that it is to stop.
            await refused(port)
            release.set()
            assert (await asking).status_code == 200
        with pytest.raises(asyncio.CancelledError):
            await serving
        with socket.create_server(("127.0.0.1", port)):
            pass


async def test_nobody_works_for_a_caller_who_left(
    tmp_path: Path, settings: HttpSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search ends when its caller closes the connection, and counts as such."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def search(_request: search_pb2.SearchRequest) -> search_pb2.SearchResponse:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    labels = {"method": "POST", "route": "/v1/catalogs/{catalog}:search", "status": "499"}
    before = REGISTRY.get_sample_value("vitrine_gateway_http_requests_total", labels) or 0.0
    async with running(tmp_path, replace(settings, drain_s=60)) as site:
        monkeypatch.setattr(site.search, "search", search)
        async with httpx.AsyncClient(base_url=site.url) as client:
            asking = asyncio.create_task(
                client.post("/v1/catalogs/demo:search", json={"parts": [{"text": "red"}]})
            )
            await begun.wait()
            asking.cancel()
        async with asyncio.timeout(60):
            await ended.wait()
    # A server that has ended has counted all.
    assert REGISTRY.get_sample_value("vitrine_gateway_http_requests_total", labels) == before + 1


async def test_tls(tmp_path: Path, settings: HttpSettings) -> None:
    """With a certificate the port speaks TLS alone."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    certificate.cert_chain_pems[0].write_to_path(chain)
    certificate.private_key_pem.write_to_path(key)
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    async with running(tmp_path, replace(settings, tls_certificate=chain, tls_key=key)) as site:
        async with httpx.AsyncClient(verify=trusted) as client:
            answer = await client.get(site.url.replace("http:", "https:") + "/healthz")
        assert answer.text == "ok"
        async with httpx.AsyncClient() as client:
            with pytest.raises(httpx.TransportError):
                await client.get(f"{site.url}/healthz")


async def exchanged(site: Site, *sent: bytes) -> bytes:
    """What the port answers to these bytes before it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(site.url.rpartition(":")[2]))
    answer = b""
    async with asyncio.timeout(60):
        # Who closes a connection before everything is read has it reset.
        with contextlib.suppress(ConnectionError):
            for each in sent:
                writer.write(each)
                await writer.drain()
            while received := await reader.read(1 << 16):
                answer += received
    writer.close()
    return answer


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "request_line_and_headers",
    [
        b"GET / HTTP/1.1\r\nhost: vitrine\r\nx: " + b"a" * (1 << 17) + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: vitrine\r\n" + b"x: a\r\n" * (1 << 15) + b"\r\n",
        b"GET /" + b"a" * (1 << 17) + b" HTTP/1.1\r\nhost: vitrine\r\n\r\n",
        b"POST /v1/catalogs HTTP/1.1\r\nhost: vitrine\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\n{}",
        b"POST /v1/catalogs HTTP/1.1\r\nhost: vitrine\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/catalogs HTTP/1.1\r\nhost: vitrine\r\ncontent-length: " + b"9" * 5000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: vitrine\r\nx : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: vitrine\r\nhost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /%zz\0 HTTP/1.1\r\nhost: vitrine\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=lambda value: repr(value[:60]),
)
async def test_what_is_not_http_is_refused(lasting: Site, request_line_and_headers: bytes) -> None:
    """Floods of headers, lengths that contradict each other and what is no HTTP end the connection."""
    answer = await exchanged(lasting, request_line_and_headers)
    if answer:
        assert answer.startswith(b"HTTP/1.1 4")
        assert b"application/problem+json" in answer
    else:
        assert len(request_line_and_headers) > 1 << 16


@pytest.mark.asyncio(loop_scope="module")
async def test_two_lengths_of_a_body_are_one_request(lasting: Site) -> None:
    """A body that is chunked and has a length too is not taken for two requests."""
    smuggled = (
        b"POST /v1/catalogs HTTP/1.1\r\nhost: vitrine\r\ncontent-length: 6\r\ntransfer-encoding: chunked\r\n"
        b"connection: close\r\n\r\n0\r\n\r\nGET /v1/catalogs HTTP/1.1\r\nhost: vitrine\r\n\r\n"
    )
    assert (await exchanged(lasting, smuggled)).count(b"HTTP/1.1 ") == 1


async def test_headers_that_do_not_come_end_the_connection(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who says nothing or never ends a header is not waited for, not even after a good request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(site.url.rpartition(":")[2]))
    async with asyncio.timeout(60):
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: vitrine\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\nok")).startswith(b"HTTP/1.1 200 ")
        monkeypatch.setattr(connection, "HEADERS_TIMEOUT_S", 0.05)
        writer.write(b"GET /hea")
        assert await reader.read() == b""
    writer.close()
    assert await exchanged(site) == b""
    assert await exchanged(site, b"GET /healthz HTTP/1.1\r\n", b"host: vitrine\r\nx: ") == b""


async def test_a_body_that_does_not_come_is_refused(tmp_path: Path, settings: HttpSettings) -> None:
    """A body is waited for only so long."""
    async with running(tmp_path, replace(settings, default_timeout_s=0.05)) as site:
        # Of all calls the one that waits for nothing else before its body, however long the machine stalls.
        answer = await exchanged(
            site,
            b"POST /v1/catalogs/demo:search HTTP/1.1\r\nhost: vitrine\r\ncontent-type: application/json\r\n"
            b"content-length: 9\r\nconnection: close\r\n\r\n{",
        )
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in answer

from __future__ import annotations

import asyncio
import signal
import socket
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from prometheus_client import REGISTRY

from services.gateway.http import serve
from tests.gateway.http.conftest import Site, reachable
from tests.gateway.http.fakes import Catalogs, HttpSettings, Media, Search
from vitrine.v1 import search_pb2


async def test_the_port_answers(site: Site) -> None:
    """A real port serves the page and the probes, and does not tell what serves them."""
    async with httpx.AsyncClient(base_url=site.url) as client:
        assert (await client.get("/healthz")).text == "ok"
        page = await client.get("/")
    assert page.status_code == 200
    assert "server" not in page.headers


async def test_signals_are_left_to_the_host(site: Site) -> None:
    """The process's own handlers stay, since it drains gRPC too."""
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


async def test_a_port_in_use_is_a_clear_error(tmp_path: Path) -> None:
    """The error names the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        media = Media(tmp_path)
        settings = replace(HttpSettings(), http_port=port)
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port} for HTTP: is the port in use"):
            await serve(settings, Search([]), Catalogs([]), media)


async def test_cancelling_lets_requests_in_hand_end(tmp_path: Path) -> None:
    """A request in hand is still answered when the server is told to stop; then the port is free."""
    begun, release = asyncio.Event(), asyncio.Event()

    class Slow(Search):
        async def search(self, request: search_pb2.SearchRequest) -> search_pb2.SearchResponse:
            begun.set()
            await release.wait()
            return await super().search(request)

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = replace(HttpSettings(), http_port=port, drain_s=5)
    serving = asyncio.create_task(serve(settings, Slow([]), Catalogs([]), Media(tmp_path)))
    await reachable(port, serving)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        asking = asyncio.create_task(
            client.post("/v1/catalogs/demo:search", json={"parts": [{"text": "red"}]})
        )
        await begun.wait()
        serving.cancel()
        await asyncio.sleep(0.05)
        release.set()
        assert (await asking).status_code == 200
    with pytest.raises(asyncio.CancelledError):
        await serving
    with socket.create_server(("127.0.0.1", port)):
        pass


async def test_nobody_works_for_a_caller_who_left(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search ends when its caller closes the connection, and counts as such."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def search(_request: search_pb2.SearchRequest) -> search_pb2.SearchResponse:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    monkeypatch.setattr(site.search, "search", search)
    labels = {"method": "POST", "route": "/v1/catalogs/{catalog}:search", "status": "499"}
    before = REGISTRY.get_sample_value("vitrine_gateway_http_requests_total", labels) or 0.0
    async with httpx.AsyncClient(base_url=site.url) as client:
        asking = asyncio.create_task(
            client.post("/v1/catalogs/demo:search", json={"parts": [{"text": "red"}]})
        )
        await begun.wait()
        asking.cancel()
    async with asyncio.timeout(2):
        await ended.wait()
    await asyncio.sleep(0.01)
    assert REGISTRY.get_sample_value("vitrine_gateway_http_requests_total", labels) == before + 1

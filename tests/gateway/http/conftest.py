from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from services.gateway.http import serve
from tests.gateway.http.fakes import Flows, HttpSettings, Media, Search, products
from tests.gateway.http.shared_app import App
from tests.ports import reserved


@dataclass
class Gateway:
    """The HTTP application over fake flows, and a client that calls it without a socket."""

    client: httpx.AsyncClient
    flows: Flows

    @property
    def search(self) -> Search:
        """The flow of searches."""
        return self.flows.search


@pytest.fixture
def settings() -> HttpSettings:
    return HttpSettings()


@pytest.fixture
def media(tmp_path: Path) -> Media:
    """A place for pictures."""
    return Media(tmp_path)


@pytest.fixture
async def gateway(media: Media, settings: HttpSettings) -> AsyncIterator[Gateway]:
    flows = Flows(media, products(media))
    transport = httpx.ASGITransport(App(settings, flows))
    async with httpx.AsyncClient(transport=transport, base_url="http://vitrine") as client:
        yield Gateway(client, flows)


@dataclass
class Site:
    """The HTTP server on a real port over fake flows."""

    url: str
    flows: Flows

    @property
    def search(self) -> Search:
        """The flow of searches."""
        return self.flows.search


@contextlib.asynccontextmanager
async def running(directory: Path, settings: HttpSettings) -> AsyncIterator[Site]:
    """The server on a free port, until the block ends."""
    media = Media(directory)
    flows = Flows(media, products(media))
    with reserved() as port:
        serving = asyncio.create_task(serve(replace(settings, http_port=port), flows))
        await reachable(port, serving)
        try:
            yield Site(f"http://127.0.0.1:{port}", flows)
        finally:
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving


@pytest.fixture
async def site(tmp_path: Path, settings: HttpSettings) -> AsyncIterator[Site]:
    async with running(tmp_path, settings) as site:
        yield site


async def reachable(port: int, serving: asyncio.Task[None]) -> None:
    """Wait until the port answers, or raise what serving failed with."""
    async with asyncio.timeout(60):
        while not serving.done():
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return
    await serving

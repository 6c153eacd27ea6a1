from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page

from services.gateway.http import server
from tests.browser import launched, visitor, watched
from tests.gateway.http.conftest import Site, running
from tests.gateway.http.fakes import HttpSettings
from tests.gateway.http.shared_app import App


# One loop for the package, since one browser serves all of its tests.
@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def browser() -> AsyncIterator[Browser]:
    """Headless Chromium."""
    async with launched() as browser:
        yield browser


@pytest.fixture
def settings() -> HttpSettings:
    """What the site is told; a page asks for dozens of things at once."""
    return replace(HttpSettings(), max_inflight=64)


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def ending() -> AsyncIterator[set[asyncio.Task[bool | None]]]:
    """Servers that end while the next test runs: each first gives its callers time."""
    tasks: set[asyncio.Task[bool | None]] = set()
    yield tasks
    await asyncio.gather(*tasks)


@pytest_asyncio.fixture(loop_scope="package")
async def site(
    tmp_path: Path,
    settings: HttpSettings,
    monkeypatch: pytest.MonkeyPatch,
    ending: set[asyncio.Task[bool | None]],
) -> AsyncIterator[Site]:
    """The server over fake flows."""
    monkeypatch.setattr(server, "create_app", App)
    sites = running(tmp_path, settings)
    yield await sites.__aenter__()
    ending.add(asyncio.create_task(sites.__aexit__(None, None, None)))


@pytest_asyncio.fixture(loop_scope="package")
async def context(browser: Browser, site: Site) -> AsyncIterator[BrowserContext]:
    """A visitor's browser, in English."""
    async with visitor(browser, site.url) as context:
        yield context


@pytest_asyncio.fixture(loop_scope="package")
async def tab(context: BrowserContext, site: Site) -> AsyncIterator[Page]:
    """An empty tab; what is written to the console and what is asked of other hosts there fails the test."""
    async with watched(context, site.url) as tab:
        yield tab


@pytest_asyncio.fixture(loop_scope="package")
async def page(request: pytest.FixtureRequest, tab: Page) -> Page:
    """The shop, opened; in the tests of the console, which open that first, a bare tab of the site."""
    if request.path.name.startswith("test_console"):
        await tab.goto("/healthz")
    else:
        await tab.goto("/")
        # The page is loaded before its modules have run, and nobody would listen to what is done meanwhile.
        await tab.get_by_role("searchbox").wait_for()
    return tab

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page

from tests.browser import launched, visitor, watched
from tests.gateway.http.conftest import Site, running
from tests.gateway.http.fakes import HttpSettings


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


@pytest_asyncio.fixture(loop_scope="package")
async def site(tmp_path: Path, settings: HttpSettings) -> AsyncIterator[Site]:
    """The server over fake flows."""
    async with running(tmp_path, settings) as site:
        yield site


@pytest_asyncio.fixture(loop_scope="package")
async def context(browser: Browser, site: Site) -> AsyncIterator[BrowserContext]:
    """A visitor's browser, in English."""
    async with visitor(browser, site.url) as context:
        yield context


@pytest_asyncio.fixture(loop_scope="package")
async def page(context: BrowserContext, site: Site) -> AsyncIterator[Page]:
    """The page, opened; what it writes to the console and what it asks of other hosts fails the test."""
    async with watched(context, site.url) as page:
        await page.goto("/")
        yield page

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright, expect

from tests.gateway.http.conftest import Site, running
from tests.gateway.http.fakes import HttpSettings

CHROMIUM = "/usr/bin/chromium"

# Machines stall: what has not come by then does not come.
WAIT_MS = 60_000


# One loop for the package, since one browser serves all of its tests.
@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def browser() -> AsyncIterator[Browser]:
    """Headless Chromium."""
    expect.set_options(timeout=WAIT_MS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


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
    context = await browser.new_context(base_url=site.url, locale="en-GB")
    context.set_default_timeout(WAIT_MS)
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="package")
async def page(context: BrowserContext, site: Site) -> AsyncIterator[Page]:
    """The page, opened; what it writes to the console and what it asks of other hosts fails the test."""
    problems: list[str] = []
    requested: list[str] = []
    page = await context.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if is_problem(line) else None)
    page.on("request", lambda request: requested.append(request.url))
    await page.goto("/")
    yield page
    await page.close()
    assert problems == []
    assert [url for url in requested if not url.startswith((site.url, "blob:"))] == []


def is_problem(line: ConsoleMessage) -> bool:
    """Whether a line of the console is the page's fault; a refused request is told by the browser itself."""
    return line.type in {"error", "warning"} and not line.text.startswith("Failed to load resource")

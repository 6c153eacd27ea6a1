"""Headless Chromium, and what every test holds of a page that it visits."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator
from typing import Any

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright, expect

CHROMIUM = "/usr/bin/chromium"
# The same without windows, menus and extensions, which nobody sees here and which take half of the time.
SHELL = shutil.which("chromium-headless-shell") or CHROMIUM

# Machines stall: what has not come by then does not come.
WAIT_MS = 60_000
# For the same reason words that go by themselves, as js/toast.js lets them after this time, stay in tests.
_STAY = """{
    const wait = window.setTimeout;
    window.setTimeout = (act, ms, ...given) => (ms === 7000 ? 0 : wait(act, ms, ...given));
}"""


@contextlib.asynccontextmanager
async def launched() -> AsyncIterator[Browser]:
    """A browser, until the block ends."""
    expect.set_options(timeout=WAIT_MS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=SHELL, args=["--no-sandbox"], timeout=WAIT_MS
        )
        yield browser
        await browser.close()


@contextlib.asynccontextmanager
async def visitor(
    browser: Browser, url: str, *, locale: str = "en-GB", **options: Any
) -> AsyncIterator[BrowserContext]:
    """A visitor of the site at `url`, who has never been there before; the options are Playwright's."""
    context = await browser.new_context(base_url=url, locale=locale, **options)
    context.set_default_timeout(WAIT_MS)
    await context.add_init_script(_STAY)
    yield context
    await context.close()


@contextlib.asynccontextmanager
async def watched(context: BrowserContext, url: str) -> AsyncIterator[Page]:
    """An empty page; what it writes to the console, and what it asks of others than `url`, fails the test."""
    problems: list[str] = []
    requested: list[str] = []
    page = await context.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if is_problem(line) else None)
    page.on("request", lambda request: requested.append(request.url))
    yield page
    await page.close()
    assert problems == []
    assert [asked for asked in requested if not asked.startswith((url, "blob:"))] == []


def is_problem(line: ConsoleMessage) -> bool:
    """Whether a line of the console is the page's fault; a refused request is told by the browser itself."""
    return line.type in {"error", "warning"} and not line.text.startswith("Failed to load resource")

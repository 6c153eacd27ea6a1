"""What the page weighs, that it holds still, and that the keyboard alone suffices."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from benchmarks.page import vitals
from tests.browser import visitor
from tests.gateway.http.conftest import Site
from tests.gateway.http.page.visits import choose_photo, hits_shown, search_words

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]

MAX_WEIGHT_BYTES = 300_000
MAX_SHIFT = 0.05
# Nobody presses Tab more often than this to get anywhere.
MAX_TABS = 80


@pytest_asyncio.fixture(loop_scope="package", params=[(1280, 900), (390, 844)])
async def watched(request: pytest.FixtureRequest, browser: Browser, site: Site) -> AsyncIterator[Page]:
    """A page whose vitals are taken, on a desktop and on a phone."""
    width, height = request.param
    async with visitor(browser, site.url, viewport={"width": width, "height": height}) as context:
        page = await context.new_page()
        await vitals.observe(page)
        yield page


@pytest.mark.parametrize("address", ["/", "/?catalog=demo&q=red+shoes", "/console/"])
async def test_the_page_is_light(watched: Page, address: str) -> None:
    """All of its files together, as they come over the network to an empty cache, are less than 300 KB."""
    weight = vitals.Weight(watched)
    await watched.goto(address, wait_until="networkidle")
    files = await weight.of_files()
    assert {"/css/base.css", "/js/messages.js"} <= set(files)
    assert sum(files.values()) < MAX_WEIGHT_BYTES, sorted(files.items(), key=lambda file: -file[1])[:5]


async def test_nothing_jumps(watched: Page) -> None:
    """From the first look over hits, more hits and a product, what is on the screen holds still."""
    await watched.goto("/", wait_until="networkidle")
    await choose_photo(watched)
    await watched.mouse.wheel(0, 4000)
    await expect(watched.locator(".hit").nth(47)).to_be_attached()
    await search_words(watched, "red shoes")
    await watched.locator(".hit .title").first.click()
    await expect(watched.locator(".similar a")).to_have_count(12)
    seen = await vitals.read(watched)
    assert seen.interactions > 0
    assert seen.shift < MAX_SHIFT


async def test_a_link_to_hits_holds_still(watched: Page) -> None:
    """Whoever opens a link to a search, or to a product, sees nothing jump either."""
    for address in ("/?catalog=demo&q=red+shoes&gender=Women", "/?catalog=demo&item=shoes-red-women"):
        await watched.goto(address, wait_until="networkidle")
        assert (await vitals.read(watched)).shift < MAX_SHIFT


async def tab_to(page: Page, role: str, name: str, *, key: str = "Tab") -> None:
    """Press a key until what has that role and a name that begins so is seen to have the focus."""
    wanted = page.get_by_role(role, name=name)  # type: ignore[arg-type]  # Any role.
    for _ in range(MAX_TABS):
        await page.keyboard.press(key)
        if await wanted.evaluate_all("(nodes) => nodes.includes(document.activeElement)"):
            outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none"
            return
    pytest.fail(f"no way to {role} {name} by {key}")


async def test_the_keyboard_alone_suffices(page: Page) -> None:
    """From words over a filter, a reason, a product and one like it, back to the words, without a pointer."""
    await tab_to(page, "searchbox", "")
    await page.keyboard.type("red shoes")
    await page.keyboard.press("Enter")
    await expect(page.locator(".hit h3").first).to_have_text("Red shoes for men")
    await tab_to(page, "checkbox", "Women")
    await page.keyboard.press("Space")
    await expect(page.locator(".hit h3").first).to_have_text("Red shoes for women")
    await tab_to(page, "button", "Why")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    assert (await page.evaluate("document.activeElement.textContent")).startswith("Why")
    await tab_to(page, "button", "More like")
    await page.keyboard.press("Space")
    await expect(page).to_have_url(re.compile("like="))
    await hits_shown(page)
    await tab_to(page, "link", "Red shoes for")
    await page.keyboard.press("Enter")
    await expect(page.locator("#product h1")).to_be_focused()
    await tab_to(page, "button", "Back to the results", key="Shift+Tab")
    await page.keyboard.press("Enter")
    await expect(page.locator(".hit").first).to_be_visible()

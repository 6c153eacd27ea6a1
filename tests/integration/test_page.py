"""The page in headless Chromium on the real mesh."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, Route, async_playwright, expect

from tests.integration.conftest import Shop
from tests.meshes import LiveMesh

pytestmark = pytest.mark.integration

CHROMIUM = "/usr/bin/chromium"


@pytest.fixture
async def page(mesh: LiveMesh, drawn: Shop) -> AsyncIterator[Page]:
    """The page on the drawn catalogue; an error of its script fails the test."""
    problems: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page(base_url=mesh.layout.url)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.set_default_timeout(20_000)
        await page.goto(f"/?catalog={drawn.catalog}")
        await expect(page.locator("#shelf button").first).to_be_visible(timeout=20_000)
        yield page
        await browser.close()
    assert problems == []


async def test_words_show_hits(page: Page) -> None:
    """Words typed show a grid of pictures, shoes first, and the panel says why."""
    await page.get_by_role("searchbox").fill("red shoes")
    await page.keyboard.press("Enter")
    await expect(page.locator(".hit h3").first).to_contain_text("red shoes")
    await expect(page.locator(".hit img").first).to_be_visible()
    await page.wait_for_function("document.querySelector('.hit img').naturalWidth > 0")
    await page.get_by_role("button", name="Why ").first.click()
    await expect(page.get_by_role("dialog").locator(".total")).to_contain_text("Score")


async def test_a_photo_shows_its_product_first(page: Page, drawn: Shop) -> None:
    """An uploaded photo of a product shows that product first, as the same photo."""
    row = drawn.rows()[20]
    photo = page.get_by_label("Search with a photo")
    await photo.set_input_files(drawn.folder / "images" / row["image"])
    await expect(page.locator(".hit h3").first).to_have_text(row["title"])
    await expect(page.locator(".hit .badge").first).to_have_text("100 high")


async def test_a_filter_narrows_real_hits(page: Page) -> None:
    """A facet's value that is ticked leaves only products with it."""
    await page.get_by_role("searchbox").fill("shoes")
    await page.keyboard.press("Enter")
    await expect(page.locator(".hit").first).to_be_visible()
    await page.locator('input[value="Red"]').check()
    await expect(page.locator(".hit")).to_have_count(8)


async def test_words_sent_before_the_catalogues_are_known_keep_theirs(page: Page, drawn: Shop) -> None:
    """A visitor who is faster than the list of catalogues still searches the one in the address."""
    listed = asyncio.Event()

    async def late(route: Route) -> None:
        await listed.wait()
        await route.continue_()

    await page.route("**/v1/catalogs?*", late)
    await page.goto(f"/?catalog={drawn.catalog}")
    await page.get_by_role("searchbox").fill("red shoes")
    await page.keyboard.press("Enter")
    await expect(page.locator(".hit h3").first).to_contain_text("red shoes")
    listed.set()
    await expect(page.locator("#catalog")).to_have_value(drawn.catalog)
    await expect(page.locator(".hit h3").first).to_contain_text("red shoes")
    assert f"catalog={drawn.catalog}" in page.url

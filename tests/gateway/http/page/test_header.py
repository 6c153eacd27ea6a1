"""What the header is there for on every page."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]


async def test_words_find_products(page: Page) -> None:
    """Words typed and sent with Enter show hits, the most similar first."""
    await page.get_by_role("searchbox").fill("red shoes")
    await page.keyboard.press("Enter")
    await expect(page.locator(".hit h3").first).to_have_text("Red shoes for men")


async def test_the_way_to_the_console_keeps_the_catalogue(tab: Page) -> None:
    """The links and the brand lead to the catalogue that is searched, also after another choice."""
    await tab.goto("/?catalog=demo&q=shoes")
    console = tab.get_by_role("link", name="Console").first
    await expect(console).to_have_attribute("href", "/console/?catalog=demo")
    await tab.get_by_label("Catalogue").select_option("other")
    await expect(tab.get_by_role("link", name="Vitrine")).to_have_attribute("href", "/?catalog=other")
    await console.click()
    await expect(tab.locator("#catalog")).to_have_value("other")
    shop = tab.get_by_role("link", name="Shop", exact=True)
    await expect(shop).to_have_attribute("href", "/?catalog=other")

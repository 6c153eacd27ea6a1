from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]


async def test_words_find_products(page: Page) -> None:
    """Words typed and sent with Enter show hits, the most similar first."""
    await page.get_by_role("searchbox").fill("red shoes")
    await page.keyboard.press("Enter")
    await expect(page.locator(".hit h3").first).to_have_text("Red shoes for men")

"""Further pages of hits: by themselves, by the button, and when they fail."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, ViewportSize, expect

from services.mesh.errors import Unavailable
from tests.gateway.http.conftest import Site
from tests.gateway.http.page.visits import search_words

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]

# Pages of so few hits all fit on a high screen.
FEW = 4
HIGH: ViewportSize = {"width": 1280, "height": 6000}


async def scroll_down(page: Page) -> None:
    """Scroll to the end of the page as it is."""
    await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")


async def test_pages_come_when_the_end_is_near(page: Page) -> None:
    """Scrolling down adds page after page, without a hit twice, and the end is told."""
    await search_words(page, "red shoes")
    await expect(page.locator(".hit")).to_have_count(24)
    await scroll_down(page)
    await expect(page.locator(".hit").nth(47)).to_be_attached()
    await expect(page.locator("#status")).to_have_text(
        re.compile("The 48 most similar products so far|60 products")
    )
    await scroll_down(page)
    await expect(page.locator(".hit")).to_have_count(60)
    await expect(page.get_by_text("That is all.")).to_be_visible()
    await expect(page.get_by_role("button", name="Show more")).to_be_hidden()
    await expect(page.locator("#status")).to_have_text("60 products, the most similar first")
    assert len(set(await page.locator(".hit h3").all_inner_texts())) == 60


async def test_after_five_pages_the_button_decides(page: Page, site: Site) -> None:
    """Five pages come by themselves; a click brings the next one, and leads to its first hit."""
    site.search.most = FEW
    await page.set_viewport_size(HIGH)
    await search_words(page, "red shoes")
    await expect(page.locator(".hit")).to_have_count(6 * FEW)
    await expect(page.get_by_role("button", name="Show more")).to_be_visible()
    assert len(site.search.requests) == 6
    await page.get_by_role("button", name="Show more").press("Enter")
    await expect(page.locator(".hit")).to_have_count(12 * FEW)
    await expect(page.locator(".hit a").nth(6 * FEW)).to_be_focused()
    assert len(set(await page.locator(".hit h3").all_inner_texts())) == 12 * FEW


async def test_one_page_that_is_all_has_no_button(page: Page) -> None:
    """Where there is nothing more, nothing is offered."""
    await search_words(page, "shoes")
    await page.get_by_role("checkbox", name="Footwear").check()
    await expect(page.locator("#status")).to_have_text("15 products, the most similar first")
    await expect(page.get_by_role("button", name="Show more")).to_be_hidden()
    await expect(page.get_by_text("That is all.")).to_be_hidden()


async def test_a_new_query_starts_with_its_first_page(page: Page) -> None:
    """Hits of further pages go with the query that they were of."""
    await search_words(page, "red shoes")
    await scroll_down(page)
    await expect(page.locator(".hit").nth(47)).to_be_attached()
    await page.get_by_role("searchbox").fill("blue bag")
    await page.keyboard.press("Enter")
    await expect(page.locator(".hit h3").first).to_have_text("Blue bag for men")
    await expect(page.locator(".hit")).to_have_count(24)


async def test_a_page_that_fails_leaves_the_hits(page: Page, site: Site) -> None:
    """The problem is told below the hits, which stay; trying again adds the page."""
    await search_words(page, "red shoes")
    await expect(page.locator(".hit")).to_have_count(24)
    site.search.error = Unavailable("no shard answered")
    await scroll_down(page)
    await expect(page.get_by_role("alert")).to_contain_text("not available")
    await expect(page.locator(".hit")).to_have_count(24)
    alert = await page.get_by_role("alert").bounding_box()
    last = await page.locator(".hit").last.bounding_box()
    assert alert is not None
    assert last is not None
    assert alert["y"] >= last["y"] + last["height"]
    site.search.error = None
    await page.get_by_role("button", name="Try again").click()
    await expect(page.locator(".hit h3").nth(47)).to_be_attached()
    await expect(page.get_by_role("alert")).to_have_count(0)
    assert len(set(await page.locator(".hit h3").all_inner_texts())) >= 48

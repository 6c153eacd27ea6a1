from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, ViewportSize, expect

from tests.gateway.http.conftest import Site
from tests.gateway.http.page.visits import all_done, choose_photo, hits_shown, hold_back, search_words
from vitrine.v1 import search_pb2

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]

# What is asked for on a product's page; hits are asked for by 24.
SIMILAR = 13
# All pages come by themselves.
HIGH: ViewportSize = {"width": 1280, "height": 6000}


def questions(site: Site) -> list[search_pb2.SearchRequest]:
    """Searches for first pages of hits."""
    return [one for one in site.search.requests if not one.page_token and one.k != SIMILAR]


async def scrolled(page: Page, top: int) -> None:
    """Wait until the page is scrolled down so far."""
    await page.wait_for_function("top => Math.abs(scrollY - top) <= 1", arg=top)


async def scroll_down(page: Page, top: int) -> None:
    """Scroll so far down."""
    await page.evaluate("top => scrollTo(0, top)", top)
    await scrolled(page, top)


async def open_hit(page: Page, title: str) -> None:
    """Open a hit's product and wait for it."""
    await page.get_by_role("link", name=title, exact=True).click()
    await expect(page.get_by_role("heading", level=1, name=title)).to_be_visible()


async def test_back_and_forward_show_answered_questions_at_once(page: Page, site: Site) -> None:
    """Words that were searched come back with their hits and their place, and nothing is asked again."""
    await search_words(page, "red shoes")
    await search_words(page, "blue bag")
    await expect(page.locator(".hit h3").first).to_have_text("Blue bag for men")
    await scroll_down(page, 300)
    asked = len(questions(site))
    await page.go_back()
    await expect(page.locator(".hit h3").first).to_have_text("Red shoes for men")
    await expect(page.get_by_role("searchbox")).to_have_value("red shoes")
    await scrolled(page, 0)
    await page.go_forward()
    await expect(page.locator(".hit h3").first).to_have_text("Blue bag for men")
    await expect(page.get_by_role("searchbox")).to_have_value("blue bag")
    await scrolled(page, 300)
    assert len(questions(site)) == asked


async def test_the_way_back_from_a_product_leads_to_its_hit(page: Page, site: Site) -> None:
    """The hits are where they were, and the focus is on the one that was opened."""
    await search_words(page, "red shoes")
    await scroll_down(page, 350)
    hit = page.get_by_role("link", name="Red shoes for unisex", exact=True)
    await hit.focus()
    top = await page.evaluate("scrollY")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_be_focused()
    await scrolled(page, 0)
    await page.go_back()
    await expect(hit).to_be_focused()
    await scrolled(page, top)
    assert len(questions(site)) == 1


async def test_forward_to_a_product_knows_how_it_was_found(page: Page) -> None:
    """The product's similarity is there again, as when it was opened."""
    await search_words(page, "red shoes")
    await open_hit(page, "Red shoes for men")
    await page.go_back()
    await hits_shown(page)
    await page.go_forward()
    await expect(page.locator("#product .known .badge")).to_have_text("90 high")
    await expect(page.get_by_role("button", name="Why was this found?")).to_be_visible()


async def test_from_similar_products_one_step_leads_to_the_results(page: Page, site: Site) -> None:
    """However many products were seen, the button shows the hits; the browser's goes one product back."""
    await search_words(page, "red shoes")
    await open_hit(page, "Red shoes for men")
    await page.get_by_role("link", name="Beige bag for men").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Beige bag for men")
    await page.get_by_role("link", name="Beige bag for women").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Beige bag for women")
    await expect(page.locator(".similar a")).to_have_count(12)
    asked = len(site.search.requests)
    await page.go_back()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Beige bag for men")
    await expect(page.get_by_role("link", name="Beige bag for women")).to_be_visible()
    await page.get_by_role("button", name="Back to the results").click()
    await hits_shown(page)
    await expect(page).to_have_url(re.compile(r"\?catalog=demo&q=red\+shoes$"))
    assert len(site.search.requests) == asked


async def test_all_pages_that_were_seen_come_back(page: Page, site: Site) -> None:
    """After another search, the way back shows as many hits as there were."""
    await page.set_viewport_size(HIGH)
    await search_words(page, "red shoes")
    await expect(page.locator(".hit")).to_have_count(60)
    await search_words(page, "blue bag")
    await expect(page.locator(".hit h3").first).to_have_text("Blue bag for men")
    await page.go_back()
    await expect(page.locator(".hit h3").first).to_have_text("Red shoes for men")
    await expect(page.locator(".hit")).to_have_count(60)
    assert len(questions(site)) == 2


async def test_a_search_that_is_under_way_makes_way_for_the_one_before(page: Page) -> None:
    """Going back while an answer is awaited shows the hits before; the late answer changes nothing."""
    await search_words(page, "red shoes")
    held = await hold_back(page, "**:search")
    await page.get_by_role("searchbox").fill("blue bag")
    async with page.expect_request("**:search"):
        await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile("blue"))
    await page.go_back()
    await expect(page.locator(".hit h3").first).to_have_text("Red shoes for men")
    route = await held.first()
    await route.fulfill(response=await route.fetch())
    await all_done(page)
    await expect(page.locator(".hit h3").first).to_have_text("Red shoes for men")
    await expect(page.locator("#grid.stale")).to_have_count(0)
    assert len(held) == 1


async def test_a_reload_keeps_photo_and_place(page: Page, site: Site) -> None:
    """The photo is searched with again, though the address has nothing of it, and the page is as far down."""
    await choose_photo(page)
    await scroll_down(page, 250)
    await page.reload()
    await hits_shown(page)
    await scrolled(page, 250)
    first, second = questions(site)
    assert second.parts[0].image.content == first.parts[0].image.content
    assert page.url.endswith("/?catalog=demo&photo=1")


async def test_photos_before_come_back_too(page: Page, site: Site) -> None:
    """The browser's back button returns from words to the photo, also after a reload."""
    await choose_photo(page)
    await search_words(page, "blue bag")
    await expect(page.locator(".hit h3").first).to_have_text("Blue bag for men")
    await page.reload()
    await hits_shown(page)
    await page.go_back()
    await expect(page.get_by_role("searchbox")).to_have_value("")
    await expect(page.locator("#grid.stale")).to_have_count(0)
    assert questions(site)[-1].parts[0].image.content


async def test_a_photo_that_is_not_kept_any_more_is_asked_for(page: Page) -> None:
    """Where the browser has forgotten the photo, the page says so rather than search for nothing."""
    await choose_photo(page)
    await page.evaluate("addEventListener('pagehide', () => sessionStorage.clear())")
    await page.reload()
    await expect(page.get_by_text("The photo of this search is not kept any more")).to_be_visible()
    await expect(page.get_by_role("button", name="Choose another photo")).to_be_visible()


async def test_the_same_question_is_no_step_in_the_history(page: Page) -> None:
    """Words that are sent twice are searched twice, but one step back leaves them."""
    await search_words(page, "red shoes")
    length = await page.evaluate("history.length")
    async with page.expect_response("**:search"):
        await page.keyboard.press("Enter")
    await hits_shown(page)
    assert await page.evaluate("history.length") == length


async def test_skipping_to_the_content_is_no_step_either(page: Page, site: Site) -> None:
    """The first Tab stop leads to the content, and the photo stays in the query."""
    await choose_photo(page)
    length = await page.evaluate("history.length")
    await page.get_by_role("link", name="Skip to the content").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#main")).to_be_focused()
    assert await page.evaluate("history.length") == length
    assert len(questions(site)) == 1


async def test_an_address_without_a_catalogue_means_the_first_one(page: Page) -> None:
    """Back from another catalogue the page is in the one that it began with."""
    await page.get_by_label("Catalogue").select_option("other")
    await expect(page).to_have_url(re.compile("catalog=other"))
    await page.go_back()
    await expect(page.get_by_label("Catalogue")).to_have_value("demo")

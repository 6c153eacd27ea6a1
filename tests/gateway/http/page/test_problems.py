"""What is shown when there is nothing to show: errors and empty answers, and the ways out."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, expect

from services.mesh import errors
from tests.gateway.http.conftest import Site
from tests.gateway.http.page.visits import search_words

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]


async def ask(page: Page) -> None:
    """Send words, whatever comes of it."""
    await page.get_by_role("searchbox").fill("red shoes")
    await page.keyboard.press("Enter")


async def test_an_error_is_shown_and_can_be_retried(page: Page, site: Site) -> None:
    """An error says what happened, with the trace for who asks; trying again shows the hits."""
    site.search.error = errors.Unavailable("no shard answered")
    await ask(page)
    alert = page.get_by_role("alert")
    await expect(alert.get_by_role("heading")).to_have_text("The search is not available right now")
    await expect(alert.get_by_text("no shard answered")).to_be_hidden()
    await alert.get_by_text("Technical details").click()
    await expect(alert.get_by_text("no shard answered")).to_be_visible()
    await expect(alert.get_by_text("503 UNAVAILABLE")).to_be_visible()
    await expect(alert.get_by_text("Trace ")).to_be_visible()
    site.search.error = None
    await page.get_by_role("button", name="Try again").click()
    await expect(page.locator(".hit h3")).to_have_count(24)
    await expect(page.get_by_role("alert")).to_have_count(0)
    await expect(page.locator("#results")).to_be_focused()


@pytest.mark.parametrize(
    ("error", "title", "sentence"),
    [
        (errors.PermissionDenied("needs the scope read"), "Your key does not allow this", "more rights"),
        (errors.NotFound("there is no such product"), "This is not there any more", "has been removed"),
        (
            errors.ResourceExhausted("too many at once", retry_after_s=1),
            "Many people are searching just now",
            "try again in a moment",
        ),
        (
            errors.ResourceExhausted("too many at once", retry_after_s=11.5),
            "Many people are searching just now",
            "try again in 12 seconds",
        ),
        (errors.Unavailable("away"), "The search is not available right now", "in a moment"),
        (errors.DeadlineExceeded("5 s are over"), "The search took too long", "in a moment"),
        (errors.FailedPrecondition("cannot be"), "That did not work", "search for something else"),
        (RuntimeError("a bug"), "That did not work", "search for something else"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
async def test_every_error_has_words(
    page: Page, site: Site, error: Exception, title: str, sentence: str
) -> None:
    """Each kind of error has a title and a sentence for shoppers, and the same way out."""
    site.search.error = error
    await ask(page)
    alert = page.get_by_role("alert")
    await expect(alert.get_by_role("heading")).to_have_text(title)
    await expect(alert.get_by_role("paragraph").first).to_contain_text(sentence)
    await expect(alert.get_by_role("button", name="Try again")).to_be_visible()
    await expect(page.locator(".hit")).to_have_count(0)
    await expect(page.locator("#status")).to_be_empty()


async def test_a_refused_key_can_be_given_again(page: Page, site: Site) -> None:
    """Who does not enter a key is told that one is needed, and can still do so."""
    site.search.error = errors.Unauthenticated("needs a key or a token")
    await ask(page)
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.get_by_role("alert").get_by_role("heading")).to_have_text("A key is needed")
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_label("API key")).to_be_visible()


async def test_no_connection_is_told(page: Page) -> None:
    """Without a network the page says so, without technical details, and tries again when told to."""
    await expect(page.locator("#catalog option")).to_have_count(2)
    await page.context.set_offline(True)
    await ask(page)
    alert = page.get_by_role("alert")
    await expect(alert.get_by_role("heading")).to_have_text("No connection")
    await expect(alert.get_by_text("Technical details")).to_have_count(0)
    await page.context.set_offline(False)
    await page.get_by_role("button", name="Try again").click()
    await expect(page.locator(".hit h3")).to_have_count(24)


async def test_a_page_without_catalogues_goes_on_saying_so(tab: Page) -> None:
    """Where the catalogues cannot be read, a search says so again, and trying again finds what was asked."""
    await tab.route("**/v1/catalogs?*", lambda route: route.abort())
    await tab.goto("/")
    heading = tab.get_by_role("alert").get_by_role("heading")
    await expect(heading).to_have_text("No connection")
    await ask(tab)
    await expect(tab).to_have_url(re.compile("q=red"))
    await expect(heading).to_have_text("No connection")
    await tab.unroute("**/v1/catalogs?*")
    await tab.get_by_role("button", name="Try again").click()
    await expect(tab.locator(".hit h3")).to_have_count(24)


async def test_a_photo_that_is_too_large_is_told(page: Page, site: Site) -> None:
    """A photo that the server refuses leads to another photo."""
    site.search.error = errors.InvalidArgument("parts[0].image", "is too large", reason="IMAGE_TOO_LARGE")
    await ask(page)
    alert = page.get_by_role("alert")
    await expect(alert.get_by_role("heading")).to_have_text("This photo is too large")
    async with page.expect_file_chooser():
        await alert.get_by_role("button", name="Choose another photo").click()


async def test_a_request_that_is_too_large_is_told(page: Page) -> None:
    """So is one that does not get as far as the search."""
    body = {"type": "about:blank", "title": "Content too large", "status": 413, "detail": "", "reason": ""}
    await page.route(
        "**:search",
        lambda route: route.fulfill(status=413, content_type="application/problem+json", json=body),
    )
    await ask(page)
    await expect(page.get_by_role("alert").get_by_role("heading")).to_have_text("This photo is too large")


async def test_a_proxy_without_problem_details_is_understood(page: Page) -> None:
    """An error page of something between says what its status says."""
    await page.route("**:search", lambda route: route.fulfill(status=503, body="<h1>Backend</h1>"))
    await ask(page)
    alert = page.get_by_role("alert")
    await expect(alert.get_by_role("heading")).to_have_text("The search is not available right now")


async def test_filters_that_do_not_fit_can_be_cleared(tab: Page, site: Site) -> None:
    """A catalogue that refuses a filter leads to the search without any."""
    site.search.error = errors.InvalidArgument("filter.all_of[0]", "there is no attribute gender")
    await tab.goto("/?catalog=demo&q=red+shoes&gender=Women")
    alert = tab.get_by_role("alert")
    await expect(alert.get_by_role("heading")).to_have_text("These filters do not fit this catalogue")
    site.search.error = None
    await alert.get_by_role("button", name="Clear all filters").click()
    await expect(tab.locator(".hit h3")).to_have_count(24)
    await expect(tab).not_to_have_url(re.compile("gender"))


async def test_hits_do_not_stay_for_another_question(page: Page, site: Site) -> None:
    """When a filter leads to an error, hits that do not pass it are not shown as its answer."""
    await search_words(page, "shoes")
    site.search.error = errors.Unavailable("away")
    await page.get_by_role("checkbox", name="Women").check()
    await expect(page.get_by_role("alert")).to_be_visible()
    await expect(page.locator(".hit")).to_have_count(0)
    site.search.error = None
    await page.get_by_role("checkbox", name="Women").uncheck()
    await expect(page.locator(".hit h3")).to_have_count(24)


async def test_an_error_takes_the_place_of_skeletons(page: Page, site: Site) -> None:
    """Nothing looks as if it were still loading beside an error."""
    site.search.error = errors.Unavailable("away")
    await ask(page)
    await expect(page.get_by_role("alert")).to_be_visible()
    await expect(page.locator(".skeleton")).to_have_count(0)


async def test_nothing_found_offers_what_to_take_away(tab: Page) -> None:
    """An answer without hits names the filters, each with a button that takes it away."""
    await tab.goto("/?catalog=demo&q=shoes&gender=Women&min=100000")
    await expect(tab.locator("#status")).to_have_text("Nothing passes all of these filters")
    ways = tab.locator("#results").get_by_role("button")
    await expect(ways).to_have_text(["Without Women", "Without Price from 100,000", "Clear all filters"])
    await ways.nth(1).click()
    await expect(tab.locator("#grid:not(.stale) .hit h3")).to_have_count(20)
    await expect(tab.locator("#results")).to_be_focused()
    assert tab.url.endswith("?catalog=demo&q=shoes&gender=Women")


async def test_nothing_found_without_filters_offers_words(page: Page) -> None:
    """Where no filter is at fault, words that this catalogue has something for are offered."""
    await page.route(
        "**:search",
        lambda route: route.fulfill(
            json={
                "hits": [],
                "next_page_token": "",
                "query_id": "q1",
                "shards_ok": 1,
                "shards_total": 1,
                "degraded": [],
                "stages": [],
                "cache": "CACHE_OUTCOME_MISS",
                "facets": [],
                "dropped": [],
            }
        ),
    )
    await ask(page)
    await expect(page.locator("#status")).to_have_text("Nothing was found")
    await expect(page.locator("#results")).to_contain_text("Try other words or a photo.")
    await page.unroute("**:search")
    example = page.locator(".no-hits").get_by_role("button").first
    words = await example.inner_text()
    await example.click()
    await expect(page.locator(".hit h3")).to_have_count(24)
    await expect(page.get_by_role("searchbox")).to_have_value(words)

"""What the page makes of answers that are none, and what it asks without being seen."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, Route, expect

from services.mesh.errors import InvalidArgument
from tests.gateway.http.conftest import Site
from tests.gateway.http.page.visits import all_done, search_words

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]

PORTAL = "<h1>Sign in to the network</h1>"
REFUSED = {"type": "about:blank", "title": "Unauthenticated", "status": 401, "detail": "", "reason": ""}


@pytest.mark.parametrize(
    ("status", "kind"), [(200, "text/html"), (200, "application/json"), (503, "application/problem+json")]
)
async def test_an_answer_that_cannot_be_read_is_none(page: Page, status: int, kind: str) -> None:
    """What stands between, such as a network that wants a login first, and a connection that ends."""
    await page.route("**:search", lambda route: route.fulfill(status=status, content_type=kind, body=PORTAL))
    await page.get_by_role("searchbox").fill("red shoes")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert").get_by_role("heading")).to_have_text("No connection")
    await page.unroute("**:search")
    await page.get_by_role("button", name="Try again").click()
    await expect(page.locator(".hit h3")).to_have_count(24)


async def test_feedback_never_asks_for_a_key(page: Page) -> None:
    """Nobody waits for it: when it is refused, the visitor is left alone."""

    async def refuse(route: Route) -> None:
        await route.fulfill(status=401, content_type="application/problem+json", json=REFUSED)

    await page.route("**:feedback", refuse)
    async with page.expect_response("**:feedback"):
        await page.evaluate(
            """async () => {
              const { recordFeedback } = await import("/js/api.js");
              recordFeedback("demo", "q1", "catalogs/demo/products/a", "FEEDBACK_KIND_OPENED", 1);
            }"""
        )
    await all_done(page)
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_a_refused_further_page_begins_anew(page: Page, site: Site) -> None:
    """Where the way to further hits has ended, trying again asks from the first page on."""
    await search_words(page, "red shoes")
    site.search.error = InvalidArgument("page_token", "is of an older generation")
    # Whoever comes near the end asks for more.
    await page.get_by_role("button", name="Show more").scroll_into_view_if_needed()
    await expect(page.get_by_role("alert")).to_be_visible()
    await expect(page.locator(".hit:not(.skeleton)")).to_have_count(24)
    site.search.error = None
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_role("alert")).to_have_count(0)
    await expect(page.locator("#grid:not(.stale) .hit h3")).to_have_count(24)
    assert not site.search.requests[-1].page_token


async def test_the_brand_is_a_link_like_others(page: Page) -> None:
    """With a key held it opens the start page in a tab of its own, and the search stays where it is."""
    await search_words(page, "red shoes")
    async with page.context.expect_page() as opening:
        await page.locator("#home").click(modifiers=["Control"])
    other = await opening.value
    await expect(other.locator("#welcome")).to_be_visible()
    await other.close()
    await expect(page.locator(".hit h3")).to_have_count(24)
    await page.locator("#home").click()
    await expect(page.locator("#welcome")).to_be_visible()

"""The console's views, each in a place of its own: what comes late, and which one an address means."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.gateway.http.conftest import Site
from tests.gateway.http.fakes import drawn
from tests.gateway.http.page.visits import Held, all_done, file_of, hold_back
from vitrine.v1 import queries_pb2

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]

FORBIDDEN = {
    "type": "/docs/#permission-denied",
    "title": "Permission denied",
    "status": 403,
    "detail": "the key is for some catalogues",
    "reason": "CATALOG_NOT_ALLOWED",
}


async def let_go(page: Page, held: Held) -> None:
    """Answer the request that waits, and wait until the page has done all that follows of itself."""
    route = await held.first()
    async with page.expect_response(route.request.url):
        await route.continue_()
    await all_done(page)


async def open_view(page: Page, name: str, heading: str) -> None:
    """Go to a view by its tab and wait for what it has."""
    await page.get_by_role("navigation").get_by_role("link", name=name).click()
    await expect(page.get_by_text(heading).first).to_be_visible()


async def test_a_view_that_was_left_shows_nothing_more(page: Page) -> None:
    """Models that come late do not appear below the import."""
    held = await hold_back(page, "**/v1/models")
    await page.goto("/console/?catalog=demo#models")
    await held.first()
    await open_view(page, "Import", "Bring in products")
    await let_go(page, held)
    await expect(page.locator("#view article")).to_have_count(0)
    await expect(page.get_by_role("heading", name="Bring in products")).to_be_visible()


async def files_held_back(page: Page) -> Held:
    """Choose a file to import; looking at it waits for what is held back."""
    await page.goto("/console/?catalog=demo#import")
    held = await hold_back(page, "**/columns.json")
    await page.get_by_label("Choose files").set_input_files(
        [file_of(drawn("shoes", "red"), "shoe.png", "image/png")]
    )
    await held.first()
    return held


async def test_a_view_that_was_left_tells_nothing_more(page: Page) -> None:
    """A failure that comes late does not stand above another view."""
    held = await files_held_back(page)
    await open_view(page, "Models", "resnet50")
    async with page.expect_event("requestfailed", lambda request: request == held[0].request):
        await held[0].abort()
    await all_done(page)
    await expect(page.get_by_role("alert").filter(has_text="No connection")).to_have_count(0)


async def test_files_that_are_open_late_stay_in_their_view(page: Page) -> None:
    """Who goes on to another view while files are looked at keeps that view."""
    held = await files_held_back(page)
    await open_view(page, "Models", "resnet50")
    await let_go(page, held)
    await expect(page.locator(".import-step")).to_have_count(0)
    await expect(page.locator("#view article").first).to_be_visible()


@pytest.mark.parametrize("name", ["constructor", "__proto__", "toString", "nothing"])
async def test_an_address_of_no_view_means_the_overview(page: Page, name: str) -> None:
    """Also where its name is one that every object has."""
    await page.goto(f"/console/?catalog=demo#{name}")
    await expect(page.get_by_role("navigation").locator("[aria-current]")).to_have_text("Overview")
    await expect(page.locator("#generations")).to_be_visible()


async def test_older_searches_are_read_once(page: Page, site: Site) -> None:
    """While they are read the button cannot be pressed again; then it has the focus as before."""
    site.flows.queries.log = [
        queries_pb2.LoggedQuery(query_id=f"q{number}", texts=["shoes"]) for number in range(120)
    ]
    for query in site.flows.queries.log:
        query.time.FromSeconds(1_700_000_000)
    site.flows.queries.stats = queries_pb2.QueryStatsResponse(query_count=120)
    await page.goto("/console/?catalog=demo#queries")
    more = page.get_by_role("button", name="Older searches")
    await expect(more).to_be_visible()
    held = await hold_back(page, "**/queries?*page_token=*")
    await more.focus()
    await page.keyboard.press("Enter")
    await expect(more).to_be_disabled()
    await let_go(page, held)
    await expect(more).to_be_enabled()
    await expect(more).to_be_focused()
    assert len(held) == 1


async def test_a_key_for_one_catalogue_can_import_into_it(page: Page, site: Site) -> None:
    """Where the catalogues cannot be listed, the one in the address is chosen and can be written into."""
    await page.route(
        "**/v1/catalogs?*",
        lambda route: route.fulfill(status=403, content_type="application/problem+json", json=FORBIDDEN),
    )
    await page.goto("/console/?catalog=other#import")
    await expect(page.locator("#catalog")).to_have_value("other")
    await page.get_by_label("Choose files").set_input_files(
        [file_of(drawn("shoes", "red"), "shoe.png", "image/png")]
    )
    await page.get_by_role("button", name="Import 1 product").click()
    await expect(page.locator(".import-counts dd").first).to_have_text("1")
    assert site.flows.catalog.written[0].catalog == "catalogs/other"

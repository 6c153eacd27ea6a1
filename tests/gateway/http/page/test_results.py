"""The grid of hits, and what is said of it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from services.mesh.errors import InvalidArgument
from tests.gateway.http.conftest import Site
from tests.gateway.http.page.visits import hold_until, search_words

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]

MORE_LIKE_BAG = "More like Red bag for men"


async def change_answers(page: Page, **changes: Any) -> None:
    """Change fields of all answers to searches from now on."""

    async def changed(route: Route) -> None:
        response = await route.fetch()
        await route.fulfill(json=await response.json() | changes)

    await page.route("**:search", changed)


async def test_words_find_products(page: Page) -> None:
    """Words typed and sent with Enter show hits, the most similar first, with a band in words."""
    await search_words(page, "red shoes")
    await expect(page.locator(".hit h3").first).to_have_text("Red shoes for men")
    await expect(page.locator(".hit .badge").first).to_have_text("90 high")
    await expect(
        page.get_by_role("img", name="Similarity to your search: 90 of 100 (high)").first
    ).to_be_visible()
    assert page.url.endswith("?catalog=demo&q=red+shoes")


async def test_the_badge_hides_nothing_of_the_photo(page: Page) -> None:
    """It stands below the photo, on a phone too, and tells what it says to who points at it."""
    for width in (1280, 390):
        await page.set_viewport_size({"width": width, "height": 844})
        await search_words(page, "red shoes")
        card = page.locator(".hit").first
        photo, badge = (
            await card.locator(".picture").bounding_box(),
            await card.locator(".badge").bounding_box(),
        )
        assert photo is not None
        assert badge is not None
        assert badge["y"] >= photo["y"] + photo["height"]
    await expect(card.locator(".badge")).to_have_attribute(
        "title", "Similarity to your search: 90 of 100 (high)"
    )


async def test_a_card_tells_price_and_facts(page: Page) -> None:
    """A hit shows its title, its price as the language writes it, and two facts."""
    await search_words(page, "red shoes")
    card = page.locator(".hit").first
    await expect(card.locator(".price")).to_have_text("11.50")
    await expect(card.locator(".facts")).to_have_text("11.50MenRed")


async def test_photos_have_their_room_before_they_come(page: Page) -> None:
    """Frames are 4 by 5, photos tell their size, and those that are seen at once are not lazy."""
    await page.route("**/media/**", lambda route: route.abort())
    await search_words(page, "red shoes")
    box = await page.locator(".hit .picture").first.bounding_box()
    assert box is not None
    assert box["height"] == pytest.approx(box["width"] * 5 / 4, abs=2)
    await page.unroute("**/media/**")
    await page.reload()
    photos = page.locator(".hit img")
    await expect(photos.first).to_have_attribute("width", "320")
    await expect(photos.first).to_have_attribute("loading", "eager")
    await expect(photos.first).to_have_attribute("fetchpriority", "high")
    await expect(photos.last).to_have_attribute("loading", "lazy")


async def test_photos_of_about_the_frames_shape_fill_it(page: Page, site: Site) -> None:
    """A photo of 2 by 3 leaves no blank beside it; a wide one is shown whole."""
    for place, product in enumerate(site.flows.stock[:2]):
        product.photos[0].width, product.photos[0].height = [(200, 300), (400, 200)][place]
    await search_words(page, "red shoes")
    for place, fit in enumerate(("cover", "contain")):
        card = page.locator(".hit").filter(has_text=site.flows.stock[place].title)
        await expect(card.locator("img")).to_have_css("object-fit", fit)


async def test_cards_are_as_high_as_what_held_their_place(page: Page) -> None:
    """What is shown while one waits has the geometry of what comes."""
    held = await hold_until(page, "**:search")
    await page.get_by_role("searchbox").fill("red shoes")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Searching…")).to_be_visible()
    expected = await page.locator(".skeleton").first.bounding_box()
    held.set()
    await expect(page.locator(".hit h3").first).to_be_visible()
    assert expected is not None
    card = await page.locator(".hit").first.bounding_box()
    assert card is not None
    assert card["height"] == pytest.approx(expected["height"], abs=6)
    assert (card["x"], card["width"]) == (expected["x"], expected["width"])


async def test_hits_of_the_query_before_fade_and_stay(page: Page) -> None:
    """While a filter is applied the hits stay in their places."""
    await search_words(page, "shoes")
    held = await hold_until(page, "**:search")
    await page.get_by_role("checkbox", name="Women").check()
    await expect(page.locator("#grid.stale .hit")).to_have_count(24)
    await expect(page.locator(".skeleton")).to_have_count(0)
    held.set()
    await expect(page.locator("#grid:not(.stale) .hit")).to_have_count(20)


async def test_the_title_is_a_link_to_the_product(page: Page) -> None:
    """A click opens the product on the page; the link itself leads there too, as for another tab."""
    await search_words(page, "red shoes")
    link = page.get_by_role("link", name="Red shoes for men")
    address = await link.get_attribute("href")
    assert address == "/?catalog=demo&q=red+shoes&item=shoes-red-men"
    async with page.context.expect_page() as opened:
        await link.click(modifiers=["ControlOrMeta"])
    other = await opened.value
    await expect(other.get_by_role("heading", name="Red shoes for men")).to_be_visible()
    await expect(page.locator(".hit").first).to_be_visible()
    await link.click()
    await expect(page).to_have_url(re.compile("item=shoes-red-men"))
    await expect(page.get_by_role("heading", level=1, name="Red shoes for men")).to_be_visible()


async def test_the_photo_leads_to_the_product_as_well(page: Page) -> None:
    """A click on the photo does what a click on the title does."""
    await search_words(page, "red shoes")
    box = await page.locator(".hit .picture").nth(1).bounding_box()
    assert box is not None
    await page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    await expect(page).to_have_url(re.compile("item=shoes-red-unisex"))


async def test_what_is_made_of_a_hit_is_recorded(page: Page) -> None:
    """Opening a hit, wanting more and wanting less like it are told with its place, from 1."""
    await search_words(page, "red shoes")
    told: list[Any] = []
    page.on(
        "request", lambda request: told.append(request.post_data_json) if "feedback" in request.url else None
    )
    for name, kind in (("More like ", "LIKE"), ("Less like ", "DISLIKE")):
        async with page.expect_request("**/queries/q1:feedback"):
            await page.get_by_role("button", name=name).nth(1).click()
        assert told[-1]["kind"] == f"FEEDBACK_KIND_{kind}"
        assert told[-1]["place"] == 2
        await page.go_back()
        await expect(page.locator(".hit h3").first).to_have_text("Red shoes for men")
    async with page.expect_request("**/queries/q1:feedback"):
        await page.get_by_role("link", name="Red shoes for men").click()
    assert told[-1] == {"product": "shoes-red-men", "kind": "FEEDBACK_KIND_CLICK", "place": 1}


async def test_more_like_this_and_back(page: Page) -> None:
    """A hit becomes part of the query, and the browser's back button returns to the words alone."""
    await search_words(page, "red shoes")
    more = page.get_by_role("button", name=MORE_LIKE_BAG)
    await expect(more).to_have_attribute("aria-pressed", "false")
    await more.click()
    await expect(page).to_have_url(re.compile("like=bag-red-men"))
    await expect(more).to_have_attribute("aria-pressed", "true")
    await expect(page.locator("#results")).to_be_focused()
    await page.go_back()
    await expect(page).not_to_have_url(re.compile("like="))
    await expect(page.get_by_role("searchbox")).to_have_value("red shoes")
    await expect(page.locator(".hit h3").first).to_have_text("Red shoes for men")


async def test_less_like_this_weighs_against(page: Page, site: Site) -> None:
    """A hit that is not wanted is a part of the query with a negative weight, and once more takes it back."""
    await search_words(page, "red shoes")
    less = page.get_by_role("button", name="Less like Red shoes for men")
    await less.click()
    await expect(less).to_have_attribute("aria-pressed", "true")
    part = site.search.requests[-1].parts[-1]
    assert part.product.endswith("shoes-red-men")
    assert part.weight < 0
    await less.click()
    await expect(less).to_have_attribute("aria-pressed", "false")
    assert len(site.search.requests[-1].parts) == 1


async def test_a_full_query_takes_no_further_wish(tab: Page, site: Site) -> None:
    """With eight parts the buttons say why they do nothing; those that are in the query still work."""
    wanted = "&".join(f"like=shirt-{colour}-men" for colour in ("red", "blue", "green", "black", "beige"))
    await tab.goto(f"/?catalog=demo&q=red+shirt&{wanted}&unlike=shirt-red-women&unlike=bag-red-men")
    more = tab.get_by_role("button", name="More like Red shirt for unisex")
    await expect(more).to_have_attribute("aria-disabled", "true")
    await expect(more).to_have_attribute("title", re.compile("at most 8 wishes"))
    asked = len(site.search.requests)
    await more.click(force=True)
    assert len(site.search.requests) == asked
    await tab.get_by_role("button", name="More like Red shirt for men").click()
    await expect(more).not_to_have_attribute("aria-disabled", "true")


async def test_why_opens_a_panel(page: Page) -> None:
    """A hit tells why it was found."""
    await search_words(page, "red shoes")
    await page.get_by_role("button", name="Why Red shoes for men?").click()
    await expect(page.get_by_role("dialog")).to_contain_text("Red shoes for men")


async def test_how_many_are_shown_is_said(page: Page) -> None:
    """The status tells how many hits there are, and whether they are all."""
    await search_words(page, "red shoes")
    await expect(page.locator("#status")).to_have_text("The 24 most similar products")
    await page.get_by_role("checkbox", name="Footwear").check()
    await expect(page.locator("#status")).to_have_text("15 products, the most similar first")


async def test_the_time_it_took_opens_into_stages(page: Page) -> None:
    """The timing is quiet, and opens into stages with names in words and what came from the cache."""
    stages = [{"stage": "embed", "duration_ms": 11.6}, {"stage": "polish", "duration_ms": 2.0}]
    await change_answers(page, stages=stages, cache="CACHE_OUTCOME_HIT")
    await search_words(page, "red shoes")
    summary = page.locator(".timing summary")
    await expect(summary).to_have_text(re.compile(r"^Took \d+\.\d\d s$"))
    await expect(page.get_by_text("kept from an earlier search")).to_be_hidden()
    await expect(page.get_by_text("Reading the photo and the words")).to_be_hidden()
    await summary.click()
    await expect(page.get_by_text("Reading the photo and the words")).to_be_visible()
    await expect(page.get_by_text("kept from an earlier search")).to_be_visible()
    await expect(page.locator(".timing dd").first).to_have_text("12 ms")


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("ranker", "The fine ranking is not available right now: the order is that of looks alone."),
        ("metadata", "Titles, prices and photos are missing for the moment."),
        ("semantics", "Gender and category could not be recognised this time, so only looks count."),
        ("diversity", "Products much alike could not be spread out: the order is that of the score."),
        ("gremlins", "This answer is not complete. Searching again may help."),
    ],
)
async def test_what_an_answer_lacks_is_said(page: Page, site: Site, reason: str, sentence: str) -> None:
    """A degraded answer says in words what it lacks."""
    site.search.degraded = [reason]
    await search_words(page, "red shoes")
    await expect(page.locator("#degraded")).to_have_text(sentence)


async def test_missing_parts_of_the_catalogue_are_said(page: Page) -> None:
    """An answer that lacks shards says how many, once; a whole one says nothing."""
    await search_words(page, "red shoes")
    await expect(page.locator("#degraded")).to_be_hidden()
    await change_answers(page, degraded=["shard:1", "shard:3"], shards_ok=2, shards_total=4)
    await page.reload()
    await expect(page.locator("#degraded")).to_have_text(
        "Only 2 of 4 parts of the catalogue answered. Some products may be missing."
    )


async def test_a_catalogue_without_some_attributes_is_searched_all_the_same(page: Page, site: Site) -> None:
    """What a catalogue does not state is asked as inferred, or not at all."""
    site.search.known = {"inferred.gender", "category"}
    await search_words(page, "red shoes")
    assert list(site.search.requests[-1].facets) == ["inferred.gender", "category"]


async def test_an_unexpected_refusal_is_not_retried_forever(page: Page, site: Site) -> None:
    """A refusal of something else than a facet is shown."""
    site.search.error = InvalidArgument("parts[0].text", "is too long")
    await page.get_by_role("searchbox").fill("red shoes")
    await page.keyboard.press("Enter")
    alert = page.get_by_role("alert")
    await alert.get_by_text("Technical details").click()
    await expect(alert).to_contain_text("parts[0].text: is too long")
    assert len(site.search.requests) == 1


async def test_a_phone_shows_two_columns_without_scrolling_sideways(page: Page) -> None:
    """On a narrow screen two hits stand side by side, and nothing is wider than the screen."""
    await page.set_viewport_size({"width": 360, "height": 740})
    await page.reload()
    await search_words(page, "red shoes")
    first, second, third = [await page.locator(".hit").nth(place).bounding_box() for place in range(3)]
    assert first is not None
    assert second is not None
    assert third is not None
    assert (first["y"], first["x"]) == (second["y"], third["x"])
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360
    for name in ("Why", "More like", "Less like"):
        box = await page.get_by_role("button", name=name).first.bounding_box()
        assert box is not None
        assert box["x"] >= first["x"]
        assert box["x"] + box["width"] <= first["x"] + first["width"] + 1

"""The filters: beside the hits, as chips above them, and as a sheet on a phone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.async_api import Page, Route, ViewportSize, expect

from tests.gateway.http.conftest import Site
from tests.gateway.http.page.visits import hold_until, search_words

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]

PHONE: ViewportSize = {"width": 390, "height": 844}
COLOURS = [f"Shade {number:02}" for number in range(19)] + ["Navy Blue"]


async def answer_facets(page: Page, change: Callable[[list[Any]], list[Any]]) -> None:
    """Change the facets of all answers to searches from now on."""

    async def changed(route: Route) -> None:
        response = await route.fetch()
        if response.ok:
            answer = await response.json()
            await route.fulfill(json=answer | {"facets": change(answer["facets"])})
        else:
            await route.fulfill(response=response)

    await page.route("**:search", changed)


def many_colours(facets: list[Any]) -> list[Any]:
    """The facets, with far more colours."""
    values = [{"value": {"text": name}, "count": str(40 - place)} for place, name in enumerate(COLOURS)]
    return [facet | {"values": values} if facet["attribute"] == "colour" else facet for facet in facets]


async def stop_time(page: Page) -> None:
    """Let the page's time pass by command alone: a slow machine must not make a pause of a key stroke."""
    now = datetime.now(tz=UTC)
    await page.clock.install(time=now)
    await page.clock.pause_at(now + timedelta(hours=1))


async def settled(page: Page, count: int) -> None:
    """Wait until so many hits of the present query are there."""
    await expect(page.locator("#grid:not(.stale) .hit")).to_have_count(count)


async def test_filters_narrow_the_hits_and_stay_in_the_address(page: Page) -> None:
    """Facet and price filters narrow the hits, survive a reload and can be cleared."""
    await search_words(page, "shoes")
    await page.get_by_role("checkbox", name="Women").check()
    await page.get_by_label("Price to").fill("20")
    await page.get_by_label("Price to").press("Enter")
    await settled(page, 3)
    await page.reload()
    await settled(page, 3)
    await expect(page.get_by_role("checkbox", name="Women")).to_be_checked()
    await expect(page.get_by_label("Price to")).to_have_value("20")
    await page.get_by_role("button", name="Clear all filters").click()
    await settled(page, 24)
    await expect(page.get_by_role("button", name="Clear all filters")).to_be_hidden()


async def test_the_counts_live(page: Page) -> None:
    """A filter changes the counts of the others, and not those of its own values."""
    await search_words(page, "shoes")
    await expect(page.locator(".option", has_text="Footwear")).to_have_text("Footwear15")
    await page.get_by_role("checkbox", name="Women").check()
    await expect(page.locator(".option", has_text="Footwear")).to_have_text("Footwear5")
    await expect(page.locator(".option", has_text="Unisex")).to_have_text("Unisex20")


async def test_a_second_value_can_be_added_to_a_filter(page: Page) -> None:
    """Several values of one attribute are alternatives."""
    await search_words(page, "shoes")
    await page.get_by_role("checkbox", name="Red").check()
    await settled(page, 12)
    await page.get_by_role("checkbox", name="Blue").check()
    await settled(page, 24)
    await expect(page.locator("#status")).to_have_text("24 products, the most similar first")


async def test_two_quick_choices_both_count(page: Page) -> None:
    """A choice made while the answer to the one before is under way does not undo it."""
    await search_words(page, "shoes")
    held = await hold_until(page, "**:search")
    await page.get_by_role("checkbox", name="Red").check()
    await page.get_by_role("checkbox", name="Women").check()
    held.set()
    await settled(page, 4)
    await expect(page.get_by_role("checkbox", name="Red")).to_be_checked()


async def test_the_focus_stays_on_the_filter(page: Page) -> None:
    """After a choice the box that was chosen still has the focus, and after clearing the filters' heading."""
    await search_words(page, "shoes")
    box = page.get_by_role("checkbox", name="Blue")
    await box.focus()
    await page.keyboard.press("Space")
    await settled(page, 12)
    await expect(box).to_be_focused()
    await page.get_by_role("button", name="Clear all filters").press("Enter")
    await settled(page, 24)
    await expect(page.get_by_role("heading", name="Filters")).to_be_focused()


async def test_what_no_product_has_can_be_taken_back(tab: Page, site: Site) -> None:
    """A value that is chosen stays to be unchecked, with 0, also where nothing has it or counts it."""
    await tab.goto("/?catalog=demo&q=shoes&colour=Mauve&pattern=Striped")
    await expect(tab.get_by_text("Nothing passes all of these filters")).to_be_visible()
    await expect(tab.locator(".option", has_text="Mauve")).to_have_text("Mauve0")
    await tab.get_by_role("checkbox", name="Mauve").click()
    await expect(tab.locator(".option", has_text="Mauve")).to_have_count(0)
    await tab.get_by_role("checkbox", name="Striped").click()
    await settled(tab, 24)
    assert not site.search.requests[-1].filter.all_of


async def test_chips_take_single_filters_away(tab: Page) -> None:
    """Every filter that is set has a chip above the hits, and taking it away leaves the others."""
    await tab.goto("/?catalog=demo&q=shoes&gender=Women&gender=Men&min=20&max=60")
    chips = tab.get_by_role("list", name="Filters that are set")
    await expect(chips.get_by_role("button")).to_have_text(["Women", "Men", "Price 20 to 60"])
    await chips.get_by_role("button", name="Remove the filter Men").click()
    await expect(chips.get_by_role("button")).to_have_text(["Women", "Price 20 to 60"])
    await expect(tab.locator("#results")).to_be_focused()
    await chips.get_by_role("button", name="Remove the filter Price 20 to 60").click()
    await expect(chips.get_by_role("button")).to_have_text(["Women"])
    await expect(tab.get_by_label("Price from")).to_have_value("")
    assert tab.url.endswith("?catalog=demo&q=shoes&gender=Women")


@pytest.mark.parametrize(
    ("query", "name"), [("min=20", "Price from 20"), ("max=20.5", "Price up to 20.50")], ids=["min", "max"]
)
async def test_an_open_range_reads_well(tab: Page, query: str, name: str) -> None:
    """A price range with one end is told by that end."""
    await tab.goto(f"/?catalog=demo&q=shoes&{query}")
    await expect(tab.get_by_role("button", name=f"Remove the filter {name}")).to_be_visible()


async def test_a_reversed_range_is_told_in_place(page: Page, site: Site) -> None:
    """A range that nothing could pass is not sent, but told beside the fields."""
    await search_words(page, "shoes")
    asked = len(site.search.requests)
    await page.get_by_label("Price from").fill("50")
    await page.get_by_label("Price to").fill("20")
    await page.get_by_label("Price to").press("Enter")
    await expect(page.get_by_role("alert")).to_have_text("“From” is more than “to”.")
    await expect(page.get_by_label("Price to")).to_have_attribute("aria-invalid", "true")
    await settled(page, 24)
    await page.get_by_label("Price to").fill("70")
    await page.get_by_label("Price to").press("Enter")
    await expect(page.get_by_role("alert")).to_have_count(0)
    await settled(page, 14)
    # From 50 alone is a range, and so is the whole.
    assert len(site.search.requests) == asked + 2


async def test_a_price_is_taken_when_one_stops_typing(page: Page, site: Site) -> None:
    """Neither Enter nor leaving the field is needed; what was sent is not sent again by them."""
    await search_words(page, "shoes")
    await stop_time(page)
    await page.get_by_label("Price to").press_sequentially("20")
    await page.clock.run_for(500)
    asked = len(site.search.requests)
    await page.clock.run_for(200)
    await expect(page.get_by_role("button", name="Remove the filter Price up to 20")).to_be_visible()
    await settled(page, 7)
    assert len(site.search.requests) == asked + 1
    await page.get_by_label("Price to").press("Enter")
    await page.get_by_label("Price to").blur()
    await page.clock.run_for(1000)
    assert len(site.search.requests) == asked + 1


async def test_a_range_is_told_to_be_reversed_after_a_pause(tab: Page) -> None:
    """Whoever types 70 after from 50 passes 7 on the way, which is no mistake."""
    await tab.goto("/?catalog=demo&q=shoes&min=50")
    await settled(tab, 24)
    await stop_time(tab)
    field = tab.get_by_label("Price to")
    await field.press_sequentially("7")
    await tab.clock.run_for(500)
    await expect(tab.get_by_role("alert")).to_have_count(0)
    await tab.clock.run_for(200)
    await expect(tab.get_by_role("alert")).to_have_text("“From” is more than “to”.")
    await field.press_sequentially("0")
    await tab.clock.run_for(700)
    await expect(tab.get_by_role("alert")).to_have_count(0)
    await settled(tab, 14)


async def test_the_filters_come_in_their_order_and_flow_with_the_page(page: Page) -> None:
    """Gender first, then price; all are in the page's own length, and nothing in them scrolls by itself."""
    await answer_facets(page, many_colours)
    await search_words(page, "shoes")
    await expect(page.locator(".filter-form legend")).to_have_text(["Gender", "Price", "Category", "Colour"])
    await page.get_by_role("button", name="All 20").click()
    overflows = await page.locator(".filter-form, .filter-form *").evaluate_all(
        "(nodes) => nodes.map((node) => getComputedStyle(node).overflowY)"
    )
    assert not {"auto", "scroll"} & set(overflows)
    await expect(page.get_by_text("Counts are of the whole catalogue.")).to_be_visible()


async def test_bars_show_the_prices_and_set_the_range(page: Page) -> None:
    """The bars are as high as their counts, choose their range, and give it back."""
    await search_words(page, "shoes")
    bars = page.locator(".bar-slot")
    await expect(bars).to_have_count(6)
    heights = await page.locator(".bar-fill").evaluate_all("(bars) => bars.map((bar) => bar.style.height)")
    assert heights[-1] == "100%"
    await expect(page.get_by_text("Prices here: 10 to 100")).to_be_visible()
    await expect(bars.nth(3)).to_have_attribute("title", "30 to 50: 13 products")
    await bars.nth(3).click()
    await expect(page.get_by_label("Price from")).to_have_value("30")
    # A range is without its upper end, a filter with both.
    await expect(page.get_by_label("Price to")).to_have_value("49.99")
    await settled(page, 13)
    await expect(page.locator(".bar-slot.within")).to_have_count(1)
    await bars.nth(3).click()
    await expect(page.get_by_label("Price from")).to_have_value("")
    await settled(page, 24)


async def test_what_is_being_typed_is_not_overwritten(page: Page) -> None:
    """An answer that comes while a price is typed leaves the field alone."""
    await search_words(page, "shoes")
    held = await hold_until(page, "**:search")
    await page.get_by_role("checkbox", name="Women").check()
    await stop_time(page)
    await page.get_by_label("Price to").focus()
    await page.keyboard.type("20")
    held.set()
    await settled(page, 20)
    await expect(page.get_by_label("Price to")).to_have_value("20")


async def test_many_values_fold_and_are_found_by_typing(page: Page) -> None:
    """Eight values are shown of many; all unfold, and a box finds them as one types."""
    await answer_facets(page, many_colours)
    await search_words(page, "shoes")
    group = page.get_by_role("group", name="Colour")
    await expect(group.get_by_role("checkbox")).to_have_count(8)
    await group.get_by_role("button", name="All 20").click()
    await expect(group.get_by_role("checkbox")).to_have_count(20)
    await group.get_by_role("button", name="Show fewer").click()
    await expect(group.get_by_role("checkbox")).to_have_count(8)
    await group.get_by_label("Find in Colour").fill("navy")
    await expect(group.get_by_role("checkbox")).to_have_count(1)
    await group.get_by_role("checkbox", name="Navy Blue").check()
    await expect(page.get_by_role("button", name="Without Navy Blue")).to_be_visible()
    await expect(group.get_by_label("Find in Colour")).to_have_value("navy")
    await group.get_by_label("Find in Colour").fill("")
    await expect(group.get_by_role("checkbox")).to_have_count(9)
    await group.get_by_label("Find in Colour").fill("zebra")
    await expect(group).to_contain_text("None is called that.")


async def test_few_values_need_no_box(page: Page) -> None:
    """Where all values are in sight there is nothing to unfold or to find."""
    await search_words(page, "shoes")
    group = page.get_by_role("group", name="Colour")
    await expect(group.get_by_role("checkbox")).to_have_count(5)
    await expect(group.get_by_role("textbox")).to_have_count(0)
    await expect(group.get_by_role("button")).to_have_count(0)


async def test_colours_that_are_known_have_a_dot(page: Page) -> None:
    """A value that names a colour shows it, and others show nothing made up."""
    await answer_facets(page, many_colours)
    await search_words(page, "shoes")
    await expect(page.locator(".option .swatch")).to_have_count(0)
    await page.get_by_label("Find in Colour").fill("navy")
    dot = page.locator(".option .swatch")
    await expect(dot).to_have_css("background-color", "rgb(28, 43, 82)")


async def test_guesses_are_marked(page: Page, site: Site) -> None:
    """A filter by what models saw says so, and filters by it."""
    site.search.known = {"inferred.gender", "category"}

    def guessed(_: list[Any]) -> list[Any]:
        values = [{"value": {"text": "Women"}, "count": "3"}]
        return [{"attribute": "inferred.gender", "values": values}]

    await answer_facets(page, guessed)
    await search_words(page, "shoes")
    await expect(page.get_by_role("group", name="Gender guessed from photos")).to_be_visible()
    async with page.expect_request("**:search") as asked:
        await page.get_by_role("checkbox", name="Women").check()
    assert "inferred.gender" in ((await asked.value).post_data or "")


async def test_a_new_query_forgets_the_filters(tab: Page) -> None:
    """Filters of the query before would only surprise."""
    await tab.goto("/?catalog=demo&q=shoes&gender=Women")
    await expect(tab.get_by_role("checkbox", name="Women")).to_be_checked()
    await search_words(tab, "blue bag")
    await settled(tab, 24)
    await expect(tab.get_by_role("checkbox", name="Women")).not_to_be_checked()


async def test_on_a_phone_the_filters_are_a_sheet(page: Page) -> None:
    """A button opens them, tells how many are set, and another one shows the hits."""
    await page.set_viewport_size(PHONE)
    await search_words(page, "shoes")
    await expect(page.get_by_role("checkbox", name="Women")).to_be_hidden()
    opener = page.get_by_role("button", name="Filters")
    await opener.click()
    sheet = page.get_by_role("dialog", name="Filters")
    await expect(sheet.get_by_role("button", name="Show 24+ products")).to_be_visible()
    await sheet.get_by_role("checkbox", name="Women").check()
    await sheet.get_by_role("button", name="Show 20 products").click()
    await expect(sheet).to_be_hidden()
    await settled(page, 20)
    await expect(page.get_by_role("button", name="Filters, 1 set")).to_be_focused()


async def test_the_sheet_closes_in_every_usual_way(page: Page) -> None:
    """Escape, its cross and the space beside it close the sheet."""
    await page.set_viewport_size(PHONE)
    await search_words(page, "shoes")
    sheet = page.get_by_role("dialog", name="Filters")

    async def escape() -> None:
        await page.keyboard.press("Escape")

    async def cross() -> None:
        await sheet.get_by_role("button", name="Close the filters").click()

    async def beside() -> None:
        await page.mouse.click(200, 10)

    for close in (escape, cross, beside):
        await page.get_by_role("button", name="Filters").click()
        await expect(sheet).to_be_visible()
        await close()
        await expect(sheet).to_be_hidden()


async def test_a_screen_that_is_turned_has_the_filters_beside_the_hits(page: Page) -> None:
    """What is open as a sheet moves beside the hits when there is room, and back."""
    await page.set_viewport_size(PHONE)
    await search_words(page, "shoes")
    await page.get_by_role("button", name="Filters").click()
    await page.set_viewport_size({"width": 1280, "height": 800})
    await expect(page.get_by_role("dialog")).to_be_hidden()
    await expect(page.get_by_role("checkbox", name="Women")).to_be_visible()
    await page.set_viewport_size(PHONE)
    await expect(page.get_by_role("checkbox", name="Women")).to_be_hidden()


async def test_chips_have_the_order_of_the_filters(page: Page) -> None:
    """Whatever was clicked first, and the same after a reload and on the way back, without asking again."""
    await search_words(page, "shoes")
    for name in ("Red", "Footwear", "Women"):
        await page.get_by_role("checkbox", name=name).check()
        await expect(page.get_by_role("button", name=f"Remove the filter {name}")).to_be_visible()
    await page.get_by_label("Price to").fill("90")
    chips = page.get_by_role("list", name="Filters that are set").get_by_role("button")
    names = ["Women", "Price up to 90", "Footwear", "Red"]
    await expect(chips).to_have_text(names)
    await page.reload()
    await expect(chips).to_have_text(names)


@pytest.mark.parametrize("typed", ["49,50", "49.50", " 49,50 "])
async def test_prices_are_read_with_a_comma_or_a_point(page: Page, typed: str) -> None:
    """Both mean the same, and the address has a point."""
    await search_words(page, "shoes")
    await page.get_by_label("Price to").fill(typed)
    await page.get_by_label("Price to").press("Enter")
    await expect(page.get_by_role("button", name="Remove the filter Price up to 49.50")).to_be_visible()
    assert "max=49.50" in page.url


async def test_prices_are_shown_as_the_language_writes_them(page: Page) -> None:
    """In German there is a comma in the field, whichever way it was typed."""
    await page.evaluate("localStorage.setItem('language', 'de')")
    await page.goto("/?catalog=demo&q=shoes&max=49.50")
    field = page.get_by_role("textbox", name="Preis bis")
    await expect(field).to_have_value("49,50")


async def test_what_is_no_price_is_told(page: Page, site: Site) -> None:
    """Beside the fields, and nothing is asked for."""
    await search_words(page, "shoes")
    asked = len(site.search.requests)
    await page.get_by_label("Price to").fill("cheap")
    await page.get_by_label("Price to").press("Enter")
    await expect(page.get_by_role("alert")).to_have_text("Please write a price such as 49.50.")
    await expect(page.get_by_label("Price to")).to_have_attribute("aria-invalid", "true")
    assert len(site.search.requests) == asked


async def test_the_sheets_button_tells_no_number_that_is_past(page: Page) -> None:
    """Between a choice and its answer it is not known how many products pass."""
    await page.set_viewport_size(PHONE)
    await search_words(page, "shoes")
    await page.get_by_role("button", name="Filters").click()
    sheet = page.get_by_role("dialog", name="Filters")
    held = await hold_until(page, "**:search")
    await sheet.get_by_role("checkbox", name="Women").check()
    await expect(sheet.get_by_role("button", name="Show products", exact=True)).to_be_visible()
    held.set()
    await expect(sheet.get_by_role("button", name="Show 20 products")).to_be_visible()

"""The search form: words, and what else a query consists of."""

from __future__ import annotations

import re

import pytest
from google.protobuf.json_format import MessageToDict
from playwright.async_api import Browser, Page, expect

from tests.browser import visitor
from tests.gateway.http.conftest import Site
from tests.gateway.http.page.visits import (
    RED_SHOES,
    answered,
    choose_photo,
    follow,
    hold_until,
    search_words,
)
from vitrine.v1 import search_pb2

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]

LIKED = "/?catalog=demo&like=shoes-red-men&like=bag-red-men&unlike=shirt-blue-men"


def parts(site: Site) -> list[search_pb2.QueryPart]:
    """What was searched for last."""
    return list(site.search.requests[-1].parts)


def said(site: Site) -> list[tuple[str, float]]:
    """The last query's words and products with their weights."""
    return [(part.text or part.product, weight_of(part)) for part in parts(site)]


def weight_of(part: search_pb2.QueryPart) -> float:
    """A part's weight as the page shows it; 1 where it says none."""
    return round(part.weight, 3) if part.HasField("weight") else 1.0


async def test_words_find_products(page: Page, site: Site) -> None:
    """Words typed and sent with Enter are the query, and in the address."""
    await search_words(page, "  red shoes ")
    await expect(page.locator(".hit h3").first).to_have_text("Red shoes for men")
    await expect(page).to_have_url(re.compile(r"\?catalog=demo&q=red\+shoes$"))
    assert [MessageToDict(part) for part in parts(site)] == [{"text": "red shoes", "weight": 1.0}]


async def test_the_button_searches_as_enter_does(page: Page) -> None:
    """Whoever types can click to search."""
    await page.get_by_role("searchbox").fill("blue bag")
    await page.get_by_role("search").get_by_role("button", name="Search", exact=True).click()
    await expect(page.locator(".hit h3").first).to_have_text("Blue bag for men")


async def test_words_typed_before_the_catalogues_are_known_are_kept(tab: Page) -> None:
    """What is in the field waits for its Enter."""
    known = await hold_until(tab, "**/v1/catalogs*")
    await tab.goto("/")
    await tab.get_by_role("searchbox").fill("red shoes")
    known.set()
    await expect(tab.locator("#shelf button").first).to_be_visible()
    await expect(tab.get_by_role("searchbox")).to_have_value("red shoes")


async def test_a_photo_and_words_are_searched_together(page: Page, site: Site) -> None:
    """Words typed beside a photo share the query with it evenly."""
    await page.get_by_role("searchbox").fill("in blue")
    await choose_photo(page)
    photo, words = parts(site)
    assert (photo.image.content, photo.weight) == (RED_SHOES, 0.5)
    assert (words.text, words.weight) == ("in blue", 0.5)


async def test_words_can_be_added_to_a_photo_and_the_photo_taken_away(page: Page, site: Site) -> None:
    """The photo stays with other words, and the words without the photo."""
    await choose_photo(page)
    async with answered(page):
        await page.get_by_role("searchbox").fill("green")
        await page.keyboard.press("Enter")
    assert [bool(part.image.content) for part in parts(site)] == [True, False]
    async with answered(page):
        await page.get_by_role("button", name="Remove: Your photo").click()
    assert said(site) == [("green", 1.0)]
    await expect(page.get_by_role("searchbox")).to_be_focused()


@pytest.mark.parametrize("pictures", ["a photo", "a liked product"])
async def test_other_words_beside_pictures_keep_the_filters(page: Page, site: Site, pictures: str) -> None:
    """They say more closely what is looked for, and are one step in the history."""
    if pictures == "a photo":
        await choose_photo(page)
        async with answered(page):
            await page.get_by_role("checkbox", name="Women").click()
        async with answered(page):
            await page.get_by_label("Price from").fill("12")
            await page.keyboard.press("Enter")
    else:
        await follow(page, "/?catalog=demo&like=bag-red-men&gender=Women&min=12")
    for words in ("green", "green leather"):
        async with answered(page):
            await page.get_by_role("searchbox").fill(words)
            await page.keyboard.press("Enter")
        asked = site.search.requests[-1]
        assert asked.parts[-1].text == words
        assert len(asked.parts) == 2
        genders, price = (clause.any_of[0] for clause in asked.filter.all_of)
        assert [value.text for value in getattr(genders, "in").values] == ["Women"]
        assert price.range.min == 12
    await page.go_back()
    await expect(page.get_by_role("searchbox")).to_have_value("green")


async def test_other_words_alone_are_a_new_query(tab: Page, site: Site) -> None:
    """Filters of the words before would only surprise, as they would beside a first photo."""
    await follow(tab, "/?catalog=demo&q=red&gender=Women&min=12&unlike=shirt-blue-men")
    async with answered(tab):
        await tab.get_by_role("searchbox").fill("green")
        await tab.keyboard.press("Enter")
    assert said(site) == [("green", 1.0), ("shirt-blue-men", -0.5)]
    assert not site.search.requests[-1].HasField("filter")
    await follow(tab, "/?catalog=demo&q=red&gender=Women&min=12")
    await choose_photo(tab)
    assert len(parts(site)) == 2
    assert not site.search.requests[-1].HasField("filter")


async def test_liked_products_and_others_are_parts_of_the_query(tab: Page, site: Site) -> None:
    """Chips name what is liked and what is not; each can be taken away."""
    await follow(tab, LIKED)
    chips = tab.get_by_role("list", name="What you search with").get_by_role("listitem")
    await expect(chips).to_have_text(
        ["Like Red shoes for men", "Like Red bag for men", "Not like Blue shirt for men"]
    )
    assert said(site) == [("shoes-red-men", 0.5), ("bag-red-men", 0.5), ("shirt-blue-men", -0.5)]
    async with answered(tab):
        await tab.get_by_role("button", name="Remove: Like Red shoes for men").click()
    assert said(site) == [("bag-red-men", 1.0), ("shirt-blue-men", -0.5)]
    await expect(chips).to_have_count(2)


async def test_with_the_last_wish_gone_the_page_starts_anew(tab: Page) -> None:
    """Nothing is left to search for, so the welcome comes back; what was not wanted goes as well."""
    await tab.goto("/?catalog=demo&like=bag-red-men&unlike=shirt-blue-men&gender=Men")
    await tab.get_by_role("button", name="Remove: Like Red bag for men").click()
    await expect(tab.get_by_role("heading", level=1)).to_be_visible()
    await expect(tab).to_have_url(re.compile(r"\?catalog=demo$"))


async def test_a_product_that_is_gone_has_a_chip_all_the_same(tab: Page) -> None:
    """It is named by its id, and can be taken away."""
    await tab.goto("/?catalog=demo&like=not-there")
    await expect(tab.locator(".chip")).to_have_text("Like not-there")
    await tab.get_by_role("button", name="Remove: Like not-there").click()
    await expect(tab.locator(".chip")).to_have_count(0)


async def test_a_full_query_says_so(tab: Page, site: Site) -> None:
    """Nine things are more than a query takes: the ninth changes nothing, and the page says why."""
    ids = [
        f"{kind}-{colour}-men" for kind in ("shoes", "shirt") for colour in ("red", "blue", "green", "black")
    ]
    await follow(tab, "/?catalog=demo&" + "&".join(f"like={one}" for one in ids))
    before = len(site.search.requests)
    await tab.get_by_role("searchbox").fill("red")
    await tab.keyboard.press("Enter")
    await expect(tab.locator(".toast")).to_contain_text("8 photos, words and products at most")
    await expect(tab.locator(".chip")).to_have_count(8)
    assert len(site.search.requests) == before


async def test_an_address_with_too_much_in_it_is_cut(tab: Page, site: Site) -> None:
    """Of more products than a query takes, the first ones count."""
    more = "&".join(f"unlike=shirt-{colour}-women" for colour in ("red", "blue", "green", "black", "beige"))
    await follow(tab, f"{LIKED}&like=dress-red-men&like=dress-blue-men&q=red&{more}")
    assert [text for text, _ in said(site)][:5] == [
        "shoes-red-men",
        "bag-red-men",
        "dress-red-men",
        "dress-blue-men",
        "red",
    ]
    assert len(parts(site)) == 8


async def test_the_slider_shifts_the_weight_between_photo_and_words(page: Page, site: Site) -> None:
    """It is there when there are both, tells its value in words, and is one step in the history."""
    await choose_photo(page)
    slider = page.get_by_role("slider", name="What counts more")
    await expect(slider).to_be_hidden()
    async with answered(page):
        await page.get_by_role("searchbox").fill("green")
        await page.keyboard.press("Enter")
    await expect(slider).to_have_attribute("aria-valuetext", "Both count alike (50% words)")
    entries = await page.evaluate("history.length")
    await slider.focus()
    for share in (55, 60, 65):
        async with answered(page):
            await page.keyboard.press("ArrowRight")
        assert [weight_of(part) for part in parts(site)] == [round(1 - share / 100, 3), share / 100]
    await expect(slider).to_have_attribute("aria-valuetext", "Words count more (65%)")
    await expect(slider).to_be_focused()
    assert await page.evaluate("history.length") == entries + 1
    await page.go_back()
    await expect(slider).to_have_value("50")


async def test_the_slider_goes_all_the_way(tab: Page, site: Site) -> None:
    """What counts for nothing is left out; what is not wanted stays."""
    await follow(tab, "/?catalog=demo&like=bag-red-men&unlike=shirt-blue-men&q=green")
    slider = tab.get_by_role("slider", name="What counts more")
    await expect(tab.locator(".mix")).to_contain_text("Products")
    await expect(tab.locator(".mix")).to_contain_text("50 : 50")
    async with answered(tab):
        await slider.fill("100")
    assert said(site) == [("green", 1.0), ("shirt-blue-men", -0.5)]
    await expect(slider).to_have_attribute("aria-valuetext", "Only words count")
    await expect(tab.locator(".mix")).to_contain_text("0 : 100")
    async with answered(tab):
        await slider.fill("0")
    assert said(site) == [("bag-red-men", 1.0), ("shirt-blue-men", -0.5)]
    await expect(slider).to_have_attribute("aria-valuetext", "Words count for nothing")
    await expect(tab.locator(".mix")).to_contain_text("100 : 0")


async def test_with_words_alone_a_photo_does_not_count(page: Page, site: Site) -> None:
    """At that end of the slider the photo is not sent, and a profile of pictures gives way meanwhile."""
    await choose_photo(page)
    async with answered(page):
        await page.get_by_role("searchbox").fill("green")
        await page.keyboard.press("Enter")
    compare = page.get_by_label("Compare by")
    async with answered(page):
        await compare.select_option("resnet50")
    async with answered(page):
        await page.get_by_role("slider").fill("100")
    assert said(site) == [("green", 1.0)]
    assert site.search.requests[-1].profile == ""
    await expect(compare).to_have_value("")
    await expect(compare.locator("option[value=resnet50]")).to_have_count(0)
    await expect(page.locator(".chip")).to_contain_text("Your photo")
    async with answered(page):
        await page.get_by_role("slider").fill("95")
    assert [weight_of(part) for part in parts(site)] == [0.05, 0.95]
    assert site.search.requests[-1].profile == "resnet50"


async def test_what_is_typed_and_not_sent_outlives_other_changes(tab: Page) -> None:
    """A chip's removal searches anew, and leaves the field as the visitor has it."""
    await follow(tab, LIKED)
    await tab.get_by_role("searchbox").fill("unfinished")
    async with answered(tab):
        await tab.get_by_role("button", name="Remove: Not like Blue shirt for men").click()
    await expect(tab.get_by_role("searchbox")).to_have_value("unfinished")


async def test_starting_over_clears_everything(tab: Page) -> None:
    """One button leads back to the welcome, with the focus in the empty field."""
    await tab.goto(f"{LIKED}&q=red")
    await tab.get_by_role("button", name="Start over").click()
    await expect(tab.get_by_role("searchbox")).to_have_value("")
    await expect(tab.get_by_role("searchbox")).to_be_focused()
    await expect(tab.get_by_role("heading", level=1)).to_be_visible()
    await expect(tab.get_by_role("group", name="Your search")).to_be_hidden()


async def test_what_to_compare_by_is_what_the_catalogue_has(page: Page, site: Site) -> None:
    """The choice lists the profiles that the query has a place in, in words where there are some."""
    compare = page.get_by_label("Compare by")
    await search_words(page, "red shoes")
    await expect(compare.locator("option")).to_have_text(["All together (recommended)", "Own mix"])
    await choose_photo(page)
    await expect(compare.locator("option")).to_have_text(
        ["All together (recommended)", "Overall look", "Own mix"]
    )
    async with answered(page):
        await compare.select_option("resnet50")
    await expect(page).to_have_url(re.compile("profile=resnet50"))
    assert site.search.requests[-1].profile == "resnet50"


@pytest.mark.parametrize("profile", ["resnet50", "nope"])
async def test_words_are_not_compared_where_they_have_no_place(tab: Page, site: Site, profile: str) -> None:
    """A profile of pictures alone, or one that is not there, gives way to the usual one."""
    await tab.goto(f"/?catalog=demo&q=red+shoes&profile={profile}")
    await expect(tab.get_by_label("Compare by")).to_have_value("")
    await expect(tab.locator(".hit h3").first).to_have_text("Red shoes for men")
    assert site.search.requests[-1].profile == ""


async def test_the_field_stays_in_reach(page: Page) -> None:
    """Far down in the hits, the words are still there to be changed."""
    await search_words(page, "red shoes")
    await page.mouse.wheel(0, 3000)
    await expect(page.locator(".hit").first).not_to_be_in_viewport()
    await expect(page.get_by_role("searchbox")).to_be_in_viewport()


async def test_a_phones_keyboard_makes_way_for_the_hits(browser: Browser, site: Site) -> None:
    """After a search on a phone the field has no focus; with a mouse it keeps it, to be typed in again."""
    for has_touch in (True, False):
        async with visitor(browser, site.url, has_touch=has_touch) as context:
            page = await context.new_page()
            await page.goto("/")
            await search_words(page, "red shoes")
            is_focused = "node => node === document.activeElement"
            assert await page.get_by_role("searchbox").evaluate(is_focused) is not has_touch

"""The real page in headless Chromium, over fake flows."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Page, Route, async_playwright, expect

from services.mesh.errors import InvalidArgument, Unavailable
from services.mesh.profiles import profiles
from tests.gateway.http.conftest import Site, running
from tests.gateway.http.fakes import HttpSettings, drawn

# One loop for the module, since one browser serves all of its tests.
pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

CHROMIUM = "/usr/bin/chromium"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with running(tmp_path, replace(HttpSettings(), max_inflight=64)) as site:
        yield site


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, site: Site) -> AsyncIterator[Page]:
    """The page, opened; what it writes to the console and what it asks of other hosts fails the test."""
    problems: list[str] = []
    requested: list[str] = []
    context = await browser.new_context(base_url=site.url)
    page = await context.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if is_problem(line) else None)
    page.on("request", lambda request: requested.append(request.url))
    await page.goto("/")
    yield page
    await context.close()
    assert problems == []
    assert [url for url in requested if not url.startswith((site.url, "blob:"))] == []


def is_problem(line: ConsoleMessage) -> bool:
    """Whether a line of the console is the page's fault; a refused request is told by the browser itself."""
    return line.type in {"error", "warning"} and not line.text.startswith("Failed to load resource")


async def search_words(page: Page, words: str) -> None:
    await page.get_by_role("searchbox").fill(words)
    await page.keyboard.press("Enter")
    await expect(page.locator(".hit h3").first).to_be_visible()


async def test_words_find_products(page: Page) -> None:
    """Words typed and sent with Enter show hits, the most similar first, with a band in words."""
    await search_words(page, "red shoes")
    await expect(page.locator(".hit h3").first).to_have_text("Red shoes for men")
    await expect(page.locator(".hit .badge").first).to_have_text("90 high")
    assert page.url.endswith("?catalog=demo&q=red+shoes")


async def test_a_photo_finds_products(page: Page, site: Site) -> None:
    """A chosen photo is shown as part of the query and sent as it is."""
    photo = drawn("shoes", "red")
    file = {"name": "mine.png", "mimeType": "image/png", "buffer": photo}
    await page.get_by_label("Search with a photo").set_input_files(file)  # type: ignore[arg-type]
    await expect(page.locator(".chip")).to_contain_text("mine.png")
    await expect(page.locator(".hit h3").first).to_be_visible()
    assert site.search.requests[-1].parts[0].image.content == photo


async def test_a_file_that_is_no_picture_is_refused(page: Page) -> None:
    """A file of another type is refused on the page, in words."""
    file = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"hello"}
    await page.get_by_label("Search with a photo").set_input_files(file)  # type: ignore[arg-type]
    await expect(page.get_by_role("alert")).to_contain_text("notes.txt is not a picture.")


async def test_a_file_chosen_before_the_catalogues_are_known_waits_for_them(page: Page) -> None:
    """What the page says of it is not wiped away when the catalogues come."""
    known = asyncio.Event()

    async def hold_back(route: Route) -> None:
        await known.wait()
        await route.continue_()

    await page.route("**/v1/catalogs*", hold_back)
    await page.reload()
    file = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"hello"}
    await page.get_by_label("Search with a photo").set_input_files(file)  # type: ignore[arg-type]
    known.set()
    await expect(page.locator("#shelf li").first).to_be_attached()
    await expect(page.get_by_role("alert")).to_contain_text("notes.txt is not a picture.")


async def test_filters_narrow_the_hits_and_stay_in_the_address(page: Page) -> None:
    """Facet and price filters narrow the hits, survive a reload and can be cleared."""
    await search_words(page, "shoes")
    await page.locator('input[value="Women"]').check()
    await page.get_by_label("Price to").fill("20")
    await page.get_by_label("Price to").press("Enter")
    await expect(page.locator(".hit")).to_have_count(3)
    await page.reload()
    await expect(page.locator(".hit")).to_have_count(3)
    await expect(page.locator('input[value="Women"]')).to_be_checked()
    await page.get_by_role("button", name="Clear all filters").click()
    await expect(page.locator(".hit")).to_have_count(24)


async def test_a_second_value_can_be_added_to_a_filter(page: Page) -> None:
    """Values that are not counted any more can still be chosen as well."""
    await search_words(page, "shoes")
    await page.locator('input[value="Red"]').check()
    await expect(page.locator(".hit")).to_have_count(12)
    await page.locator('input[value="Blue"]').check()
    await expect(page.locator(".hit")).to_have_count(24)
    await expect(page.locator("#status")).to_have_text("24 products, the most similar first")


async def test_the_panel_says_why(page: Page) -> None:
    """The panel explains every term in plain words, with its sum, and closes with Escape."""
    await search_words(page, "red shoes")
    await page.get_by_role("button", name="Why Red shoes for men?").click()
    panel = page.get_by_role("dialog")
    await expect(panel).to_contain_text("Shows the same kind of thing")
    await expect(panel).to_contain_text("nothing known, a neutral 0.50")
    await expect(panel).to_contain_text("Footwear (75%)")
    await expect(panel.locator(".total")).to_have_text("Score0.90")
    await page.keyboard.press("Escape")
    await expect(panel).to_be_hidden()


async def test_what_was_understood_reads_well(page: Page) -> None:
    """What the words say stands as it is, a guess with its probability, and what is hardly believed not."""
    await search_words(page, "red shoes")
    await page.get_by_role("button", name="Why Red shoes for men?").click()
    understood = page.get_by_role("dialog").locator(".facts-list").first
    rows = zip(
        await understood.locator("dt").all_inner_texts(),
        await understood.locator("dd").all_inner_texts(),
        strict=True,
    )
    assert dict(rows) == {"Gender": "Women", "Category": "Footwear (75%)", "Type": "Shoes or boots"}


async def test_every_term_of_a_score_has_a_name_in_words(page: Page) -> None:
    """No term of the profiles that are made is shown by its technical name."""
    names = {
        name for weights in profiles(["resnet50", "triplet", "colour", "clip"]).values() for name in weights
    }

    async def all_terms(route: Route) -> None:
        response = await route.fetch()
        answer = await response.json()
        answer["hits"][0]["terms"] = [
            {"name": name, "value": 1.0, "weight": 0.1, "contribution": 0.1, "absent": False}
            for name in sorted(names)
        ]
        await route.fulfill(json=answer)

    await page.route("**:search", all_terms)
    await search_words(page, "red shoes")
    await page.get_by_role("button", name="Why ").first.click()
    titles = await page.get_by_role("dialog").locator(".term dt").all_inner_texts()
    assert len(set(titles)) == len(names)
    assert not {name.replace(".", " ").capitalize() for name in names} & set(titles)


async def test_what_to_compare_by_is_what_the_catalogue_has(page: Page, site: Site) -> None:
    """The choice lists the profiles that the query has a place in, in words where there are some."""
    offered = page.get_by_label("Compare by").locator("option")
    await search_words(page, "red shoes")
    await expect(offered).to_have_text(["Everything that shows", "Own mix"])
    await page.get_by_role("button", name="More like Red bag for men").click()
    await expect(offered).to_have_text(["Everything that shows", "Looks in general (ResNet50)", "Own mix"])
    await page.get_by_label("Compare by").select_option("resnet50")
    await expect(page).to_have_url(re.compile("profile=resnet50"))
    await expect(page.locator("#grid.stale")).to_have_count(0)
    assert site.search.requests[-1].profile == "resnet50"


async def test_words_are_not_compared_where_they_have_no_place(page: Page, site: Site) -> None:
    """A profile of pictures alone, or one that is not there, gives way to the usual one."""
    for profile in ("resnet50", "nope"):
        await page.goto(f"/?catalog=demo&q=red+shoes&profile={profile}")
        await expect(page.get_by_label("Compare by")).to_have_value("")
        await expect(page.locator(".hit h3").first).to_have_text("Red shoes for men")
        assert site.search.requests[-1].profile == ""


async def test_variety_that_could_not_be_had_is_said(page: Page, site: Site) -> None:
    """A degraded answer says in words what it lacks."""
    site.search.degraded = ["diversity"]
    await search_words(page, "red shoes")
    await expect(page.locator("#degraded")).to_have_text("Variety could not be had: these are by score.")


async def test_more_like_this_and_back(page: Page) -> None:
    """A hit becomes the query, and the browser's back button returns to the words."""
    await search_words(page, "red shoes")
    await page.get_by_role("button", name="More like Red bag for men").click()
    await expect(page.locator(".chip")).to_contain_text("Like Red bag for men")
    assert "product=bag-red-men" in page.url
    await page.go_back()
    await expect(page.get_by_role("searchbox")).to_have_value("red shoes")
    await expect(page.locator(".hit h3").first).to_have_text("Red shoes for men")


async def test_more_hits_are_added(page: Page) -> None:
    """The button adds the next page to the hits, and goes when there is none."""
    await search_words(page, "red shoes")
    await page.get_by_role("button", name="Show more").click()
    await expect(page.locator(".hit")).to_have_count(48)
    await page.get_by_role("button", name="Show more").click()
    await expect(page.locator(".hit")).to_have_count(60)
    await expect(page.get_by_role("button", name="Show more")).to_be_hidden()
    titles = await page.locator(".hit h3").all_inner_texts()
    assert len(set(titles)) == 60


async def test_an_error_is_shown_and_can_be_retried(page: Page, site: Site) -> None:
    """An error shows what happened and the trace; trying again shows the hits."""
    site.search.error = Unavailable("no shard answered")
    await page.get_by_role("searchbox").fill("red shoes")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("no shard answered")
    await expect(page.get_by_role("alert")).to_contain_text("Trace ")
    site.search.error = None
    await page.get_by_role("button", name="Try again").click()
    await expect(page.locator(".hit")).to_have_count(24)
    await expect(page.get_by_role("alert")).to_be_hidden()


async def test_nothing_found_is_said(page: Page, site: Site) -> None:
    """An answer without hits is an answer: the page says so."""
    await search_words(page, "shoes")
    await page.get_by_label("Price from").fill("100000")
    await page.get_by_label("Price from").press("Enter")
    await expect(page.locator("#status")).to_have_text("Nothing passes these filters. Take one away?")


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
    await expect(page.get_by_role("alert")).to_contain_text("parts[0].text: is too long")


async def test_a_phone_shows_two_columns_without_scrolling_sideways(page: Page) -> None:
    """On a narrow screen the filters fold away and nothing is wider than the screen."""
    await page.set_viewport_size({"width": 360, "height": 740})
    await page.reload()
    await search_words(page, "red shoes")
    await expect(page.locator('input[value="Women"]')).to_be_hidden()
    width = await page.evaluate("document.documentElement.scrollWidth")
    assert width <= 360


async def test_examples_and_shelf_start_a_search(page: Page) -> None:
    """The first screen offers words and products to start from."""
    await expect(page.locator("#shelf button")).to_have_count(8)
    await page.locator("#examples button").first.click()
    await expect(page.locator(".hit").first).to_be_visible()
    await page.get_by_role("link", name="Vitrine").click()
    await page.locator("#shelf button").first.click()
    await expect(page.locator(".chip")).to_contain_text("Like ")


async def test_the_api_page_lists_the_operations(page: Page) -> None:
    """The documentation loads nothing from elsewhere and lists every operation."""
    await page.goto("/docs/")
    description = await (await page.request.get("/openapi.json")).json()
    count = sum(len(methods) for methods in description["paths"].values())
    await expect(page.locator(".operation")).to_have_count(count)

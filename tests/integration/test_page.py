"""The page in headless Chromium on the real mesh."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, Request, Route, async_playwright, expect

from tests.drawings import draw
from tests.integration.conftest import Shop
from tests.meshes import LiveMesh

pytestmark = pytest.mark.integration

CHROMIUM = "/usr/bin/chromium"
NO_PICTURE = {"name": "mine.jpg", "mimeType": "image/jpeg", "buffer": b"no picture at all"}

# How far a picture reaches over its frame's edges, and how far its middle is from the frame's: pixels.
OUTSIDE = """(image) => {
  const [inner, outer] = [image.getBoundingClientRect(), image.parentElement.getBoundingClientRect()];
  const over = Math.max(outer.left - inner.left, outer.top - inner.top, inner.right - outer.right,
                        inner.bottom - outer.bottom);
  const off = Math.max(Math.abs(inner.left + inner.right - outer.left - outer.right),
                       Math.abs(inner.top + inner.bottom - outer.top - outer.bottom)) / 2;
  return [over, off];
}"""


@pytest.fixture
async def page(mesh: LiveMesh, drawn: Shop) -> AsyncIterator[Page]:
    """The page on the drawn catalogue; an error of its script fails the test."""
    problems: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page(base_url=mesh.layout.url)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.set_default_timeout(20_000)
        await page.goto(f"/?catalog={drawn.catalog}")
        await expect(page.locator("#shelf button").first).to_be_visible(timeout=20_000)
        yield page
        await browser.close()
    assert problems == []


async def search_words(page: Page, words: str) -> None:
    await page.get_by_role("searchbox").fill(words)
    await page.keyboard.press("Enter")
    await expect(page.locator(".hit h3").first).to_be_visible()


def searches(page: Page) -> list[Request]:
    """The searches that the page sends from now on."""
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request) if ":search" in request.url else None)
    return sent


async def test_words_show_hits(page: Page) -> None:
    """Words typed show a grid of pictures, shoes first, and the panel says why."""
    await page.get_by_role("searchbox").fill("red shoes")
    await page.keyboard.press("Enter")
    await expect(page.locator(".hit h3").first).to_contain_text("red shoes")
    await expect(page.locator(".hit img").first).to_be_visible()
    await page.wait_for_function("document.querySelector('.hit img').naturalWidth > 0")
    await page.get_by_role("button", name="Why ").first.click()
    await expect(page.get_by_role("dialog").locator(".total")).to_contain_text("Score")


async def test_a_photo_shows_its_product_first(page: Page, drawn: Shop) -> None:
    """An uploaded photo of a product shows that product first, as the same photo."""
    row = drawn.rows()[20]
    photo = page.get_by_label("Search with a photo")
    await photo.set_input_files(drawn.folder / "images" / row["image"])
    await expect(page.locator(".hit h3").first).to_have_text(row["title"])
    await expect(page.locator(".hit .badge").first).to_have_text("100 high")


async def test_a_filter_narrows_real_hits(page: Page) -> None:
    """A facet's value that is ticked leaves only products with it."""
    await page.get_by_role("searchbox").fill("shoes")
    await page.keyboard.press("Enter")
    await expect(page.locator(".hit").first).to_be_visible()
    await page.locator('input[value="Red"]').check()
    await expect(page.locator(".hit")).to_have_count(8)


async def test_words_sent_before_the_catalogues_are_known_keep_theirs(page: Page, drawn: Shop) -> None:
    """A visitor who is faster than the list of catalogues still searches the one in the address."""
    listed = asyncio.Event()

    async def late(route: Route) -> None:
        await listed.wait()
        await route.continue_()

    await page.route("**/v1/catalogs?*", late)
    await page.goto(f"/?catalog={drawn.catalog}")
    await page.get_by_role("searchbox").fill("red shoes")
    await page.keyboard.press("Enter")
    await expect(page.locator(".hit h3").first).to_contain_text("red shoes")
    listed.set()
    await expect(page.locator("#catalog")).to_have_value(drawn.catalog)
    await expect(page.locator(".hit h3").first).to_contain_text("red shoes")
    assert f"catalog={drawn.catalog}" in page.url


async def test_pictures_lie_within_their_frames(page: Page, drawn: Shop) -> None:
    """No picture is cut: on the shelf, among the hits and in the panel it lies in the middle of its frame."""
    await expect_in_frame(page, "#shelf .picture img")
    row = drawn.rows()[20]
    await page.get_by_label("Search with a photo").set_input_files(drawn.folder / "images" / row["image"])
    await expect_in_frame(page, ".hit .picture img")
    chip = page.locator(".chip img")
    assert await chip.evaluate("(image) => getComputedStyle(image).objectFit") == "contain"
    await page.get_by_role("button", name="Why ").first.click()
    await expect_in_frame(page, "#why .picture img")


async def expect_in_frame(page: Page, selector: str) -> None:
    await expect(page.locator(selector).first).to_be_visible()
    for image in await page.locator(selector).all():
        over, off = await image.evaluate(OUTSIDE)
        assert over <= 0, selector
        assert off < 1, selector


async def test_a_catalogue_that_is_not_there_is_said(page: Page, drawn: Shop) -> None:
    """An address with an unknown catalogue searches no other one, and offers those there are."""
    sent = searches(page)
    await page.goto("/?catalog=nope&q=shoes")
    await expect(page.get_by_role("alert")).to_contain_text("There is no catalogue “nope”")
    assert sent == []
    await page.get_by_role("alert").get_by_role("button", name=drawn.catalog, exact=True).click()
    await expect(page.locator(".hit h3").first).to_contain_text("shoes")
    assert f"catalog={drawn.catalog}" in page.url


async def test_examples_are_of_the_catalogue(page: Page, drawn: Shop) -> None:
    """At most four examples are offered, each a colour and a kind of thing that the shop has together."""
    examples = await page.locator("#examples button").all_inner_texts()
    stock = {f"{row['baseColour']} {row['articleType']}".lower() for row in drawn.rows()}
    assert 1 <= len(examples) <= 4
    assert set(examples) <= stock
    await page.locator("#examples button").first.click()
    await expect(page.locator(".hit").first).to_be_visible()


async def test_a_catalogue_that_says_nothing_has_no_examples(page: Page, drawn: Shop) -> None:
    """Where the shop states neither kind nor colour, no words are made up."""

    async def bare(route: Route) -> None:
        answer = await (await route.fetch()).json()
        for product in answer["products"]:
            product["attributes"] = {}
        await route.fulfill(json=answer)

    await page.route("**/products?*", bare)
    await page.reload()
    await expect(page.locator("#shelf button").first).to_be_visible()
    await expect(page.locator("#examples button")).to_have_count(0)


async def test_a_reversed_price_range_is_told_beside_its_fields(page: Page) -> None:
    """A lowest price above the highest is told in the form and not sent; put right, both are sent."""
    await search_words(page, "shoes")
    sent = searches(page)
    await page.get_by_label("Price from").fill("40")
    await page.get_by_label("Price from").press("Enter")
    await expect(page.locator("#grid.stale")).to_have_count(0)
    await page.get_by_label("Price to").fill("20")
    await page.get_by_label("Price to").press("Enter")
    await expect(page.locator("#price-wrong")).to_be_visible()
    await expect(page.locator("#problem")).to_be_hidden()
    assert len(sent) == 1
    await page.get_by_label("Price from").fill("10")
    await page.get_by_label("Price from").press("Enter")
    await expect(page.locator(".hit .price").first).to_be_visible()
    await expect(page.locator("#price-wrong")).to_be_hidden()
    assert "min=10&max=20" in page.url


async def test_a_photo_that_cannot_be_read_is_told_in_words(page: Page) -> None:
    """A shopper reads a sentence; field and trace wait in closed details, with no broken thumbnail."""
    await page.get_by_label("Search with a photo").set_input_files(NO_PICTURE)  # type: ignore[arg-type]
    alert = page.get_by_role("alert")
    await expect(alert.locator("> p")).to_have_text(
        "This file is not a picture we can read. Try a JPEG, PNG or WebP."
    )
    await expect(alert.get_by_text("Trace ")).to_be_hidden()
    await alert.get_by_text("Technical details").click()
    await expect(alert.get_by_text("Trace ")).to_be_visible()
    await expect(page.locator(".chip")).to_contain_text("mine.jpg")
    await expect(page.locator(".chip img")).to_have_count(0)


async def test_guesses_are_marked_among_the_filters(page: Page, drawn: Shop) -> None:
    """A facet of what a model saw says that it is guessed; one of what the shop states does not."""

    async def guessed(route: Route) -> None:
        response = await route.fetch()
        answer = await response.json()
        for facet in answer["facets"]:
            if facet["attribute"] == "category":
                facet["attribute"] = "inferred.category"
        await route.fulfill(json=answer)

    await page.route("**:search", guessed)
    await search_words(page, "shoes")
    await expect(page.get_by_role("group", name="Category")).to_contain_text("guessed from photos")
    await expect(page.get_by_role("group", name="Gender")).not_to_contain_text("guessed")


async def test_the_first_search_asks_only_what_the_catalogue_has(
    mesh: LiveMesh, page: Page, tmp_path: Path
) -> None:
    """A catalogue without gender, category and price is searched with one request, which nobody refuses."""
    folder = tmp_path / "bare"
    folder.mkdir()
    draw("Shoes", "Red").save(folder / "a.png")
    draw("Dresses", "Blue").save(folder / "b.png")
    (folder / "products.csv").write_text("id,image,title\na,a.png,one\nb,b.png,two\n", encoding="utf-8")
    mesh.run_json("index", folder, "--catalog", "bare")
    told: list[str] = []
    page.on("console", lambda line: told.append(line.text))
    sent = searches(page)
    await page.goto("/?catalog=bare&q=shoes")
    await expect(page.locator(".hit")).to_have_count(2)
    assert len(sent) == 1
    assert told == []


async def test_a_picture_and_a_title_open_the_product(page: Page) -> None:
    """A click on a hit's picture or title shows the product, from which its likes can be searched."""
    await search_words(page, "red shoes")
    hit = page.locator(".hit").first
    title = await hit.locator("h3").inner_text()
    panel = page.get_by_role("dialog")
    await hit.locator(".picture").click()
    await expect(panel.get_by_role("heading", name=title)).to_be_visible()
    await page.keyboard.press("Escape")
    await hit.get_by_role("button", name=title, exact=True).click()
    await panel.get_by_role("button", name="More like this").click()
    await expect(panel).to_be_hidden()
    await expect(page.locator(".chip")).to_contain_text(f"Like {title}")

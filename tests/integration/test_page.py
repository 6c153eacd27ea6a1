"""The shop in headless Chromium on the real mesh."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import Browser, Locator, Page, Request, expect

from tests.browser import visitor, watched
from tests.drawings import draw
from tests.gateway.http.page.visits import (
    answered,
    choose_photo,
    copied_link,
    drag_frame,
    drop_photo,
    encoded,
    file_of,
    follow,
    hits_shown,
    paste_photo,
    search_words,
    titles,
    use_part,
)
from tests.integration.conftest import Shop
from tests.meshes import LiveMesh

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]

# How far a picture reaches over its frame's edges, and how far its middle is from the frame's: pixels.
OUTSIDE = """(image) => {
  const [inner, outer] = [image.getBoundingClientRect(), image.parentElement.getBoundingClientRect()];
  const over = Math.max(outer.left - inner.left, outer.top - inner.top, inner.right - outer.right,
                        inner.bottom - outer.bottom);
  const off = Math.max(Math.abs(inner.left + inner.right - outer.left - outer.right),
                       Math.abs(inner.top + inner.bottom - outer.top - outer.bottom)) / 2;
  return [over, off];
}"""


@pytest_asyncio.fixture(loop_scope="package")
async def page(page: Page, drawn: Shop) -> Page:
    """The shop with the drawn catalogue."""
    await page.goto(f"/?catalog={drawn.catalog}")
    await expect(page.locator("#shelf button").first).to_be_visible()
    return page


@pytest.fixture(scope="module")
def bare(mesh: LiveMesh, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A catalogue of two products that states nothing but their titles."""
    shop = Shop("bare", tmp_path_factory.mktemp("bare"))
    draw("Shoes", "Red").save(shop.folder / "a.png")
    draw("Dresses", "Blue").save(shop.folder / "b.png")
    (shop.folder / "products.csv").write_text("id,image,title\na,a.png,one\nb,b.png,two\n", encoding="utf-8")
    mesh.index(shop.folder, shop.catalog)
    return shop


def photo(drawn: Shop, title: str) -> bytes:
    """The first photo of the product of that title."""
    row = next(row for row in drawn.rows() if row["title"] == title)
    return (drawn.folder / "images" / row["image"]).read_bytes()


def badges(page: Page) -> Locator:
    """How similar the hits are, in their order."""
    return page.locator(".hit .badge")


def searches(page: Page) -> list[Request]:
    """The searches that the page sends from now on."""
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request) if request.url.endswith(":search") else None)
    return sent


async def counts(page: Page, name: str) -> dict[str, int]:
    """The values of a filter with how many products have each."""
    group = page.get_by_role("group", name=name)
    names = await group.locator(".value").all_inner_texts()
    found = await group.locator(".count").all_inner_texts()
    return dict(zip(names, map(int, found), strict=True))


@contextlib.asynccontextmanager
async def friend(browser: Browser, mesh: LiveMesh) -> AsyncIterator[Page]:
    """Another visitor's page, in a browser that has never been here."""
    url = mesh.layout.url
    async with visitor(browser, url) as context, watched(context, url) as page:
        yield page


async def test_a_photo_shows_its_product_first(page: Page, drawn: Shop) -> None:
    """However a product's photo comes to the page, that product is first, as the same photo."""
    first = page.locator(".hit h3").first
    await choose_photo(page, photo(drawn, "Women's red shoes"))
    await expect(first).to_have_text("Women's red shoes")
    await expect(badges(page).first).to_have_text("100 high")
    await drop_photo(page, photo(drawn, "Men's blue shirts"))
    await expect(first).to_have_text("Men's blue shirts")
    await expect(badges(page).first).to_have_text("100 high")
    await paste_photo(page, photo(drawn, "Women's green handbags"))
    await expect(first).to_have_text("Women's green handbags")
    await expect(badges(page).first).to_have_text("100 high")


async def test_words_show_what_they_say(page: Page, drawn: Shop) -> None:
    """An example of the catalogue, and other words, find what they say, with pictures."""
    examples = page.get_by_role("list", name="Searches to try").get_by_role("button")
    stock = {f"{row['baseColour']} {row['articleType']}".lower() for row in drawn.rows()}
    offered = await examples.all_inner_texts()
    assert 1 <= len(offered) <= 4
    assert set(offered) <= stock
    await examples.first.click()
    await hits_shown(page)
    assert offered[0] in (await titles(page))[0]
    await search_words(page, "red shoes")
    await expect(page.locator(".hit h3").first).to_contain_text("red shoes")
    await page.wait_for_function("document.querySelector('.hit img').naturalWidth > 0")


async def test_the_slider_weighs_photo_against_words(page: Page, drawn: Shop) -> None:
    """With the photo alone its product is first, with the words alone what they say."""
    await page.get_by_role("searchbox").fill("red shoes")
    await choose_photo(page, photo(drawn, "Women's blue dresses"))
    slider = page.get_by_role("slider", name="What counts more")
    await slider.focus()
    async with answered(page):
        await slider.press("Home")
    of_photo = await titles(page)
    async with answered(page):
        await slider.press("End")
    of_words = await titles(page)
    assert of_photo[0] == "Women's blue dresses"
    assert "red shoes" in of_words[0]
    assert of_photo != of_words


async def test_a_part_of_a_photo_is_searched_with(page: Page) -> None:
    """Of two things side by side the one that is framed comes first, be it the left or the right one."""
    both = Image.new("RGB", (384, 256))
    both.paste(draw("Shoes", "Red"), (0, 0))
    both.paste(draw("Dresses", "Blue"), (192, 0))
    await choose_photo(page, encoded(both))
    # First the right edge of the frame around all is drawn to the middle, then another frame beside that.
    for title, start, end in (
        ("Women's red shoes", (1.0, 0.5), (0.5, 0.5)),
        ("Women's blue dresses", (0.99, 0.01), (0.5, 0.99)),
    ):
        await page.get_by_role("button", name="Choose a part").click()
        await drag_frame(page, start, end)
        await use_part(page)
        await expect(page.locator(".hit h3").first).to_have_text(title)
        await expect(badges(page).first).to_have_text(re.compile("high$"))


async def test_filters_narrow_with_live_counts(page: Page, drawn: Shop) -> None:
    """A value leaves the products that have it, and those of its filter keep their counts; so with prices."""
    grid = page.locator("#grid:not(.stale) .hit")
    reds = [row for row in {row["id"]: row for row in drawn.rows()}.values() if row["baseColour"] == "Red"]
    await search_words(page, "shoes")
    colours = await counts(page, "Colour")
    assert set(colours) == {row["baseColour"] for row in drawn.rows()}
    await page.get_by_role("checkbox", name="Red").check()
    await expect(grid).to_have_count(len(reds))
    assert set(await titles(page)) == {row["title"] for row in reds}
    assert await counts(page, "Colour") == colours
    assert (await counts(page, "Gender"))["Men"] == sum(row["gender"] == "Men" for row in reds)
    prices = sorted(int(row["price"]) for row in reds)
    await page.get_by_label("Price from").fill(str(prices[2]))
    await page.get_by_label("Price to").fill(str(prices[4]))
    await page.get_by_label("Price to").press("Enter")
    await expect(grid).to_have_count(3)
    assert sorted(map(int, await page.locator(".hit .price").all_inner_texts())) == prices[2:5]
    await page.get_by_role("button", name="Remove the filter Red").click()
    await expect(grid).to_have_count(prices[4] - prices[2] + 1)


async def test_the_score_is_explained(page: Page) -> None:
    """The panel has the similarity of the hit, and terms that add up to its score."""
    await search_words(page, "red shoes")
    badge = await badges(page).first.inner_text()
    await page.get_by_role("button", name="Why ").first.click()
    panel = page.get_by_role("dialog")
    await expect(panel).to_contain_text(f"Similarity {badge.split()[0]} of 100.")
    await panel.get_by_text("The numbers behind it").click()
    terms = await panel.locator(".numbers tbody td:last-child").all_inner_texts()
    total = await panel.locator(".numbers tfoot td").inner_text()
    assert len(terms) > 1
    # Each of them is rounded to two decimals.
    assert sum(map(float, terms)) == pytest.approx(float(total), abs=0.005 * (len(terms) + 1))
    await expect(panel).to_contain_text("What we understood of your search")
    await page.keyboard.press("Escape")
    await expect(panel).to_have_count(0)


async def test_wishes_change_the_order(page: Page) -> None:
    """More like a product brings what is for the same people, less like it takes the like of it down."""
    wish = "Women's yellow shoes"
    await search_words(page, "shoes")
    before = await titles(page)
    async with answered(page):
        await page.get_by_role("button", name=f"More like {wish}").click()
    more = await titles(page)
    assert wish not in more
    assert {title.split()[0] for title in before} == {"Men's", "Women's"}
    assert {title.split()[0] for title in more} == {"Women's"}
    await page.get_by_role("button", name=f"Remove: Like {wish}").click()
    await expect(page.locator(".hit h3")).to_have_text(before)
    async with answered(page):
        await page.get_by_role("button", name=f"Less like {wish}").click()
    less = await titles(page)
    assert wish not in less
    assert before.index("Men's yellow shoes") < less.index("Men's yellow shoes")


async def test_a_product_leads_to_its_likes(page: Page) -> None:
    """A hit opens as a page with its facts and similar products, from which its likes can be searched."""
    await search_words(page, "red shoes")
    title = (await titles(page))[0]
    # The link lies over the picture as well.
    await page.locator(".hit .picture").first.click(force=True)
    await expect(page.get_by_role("heading", level=1, name=title)).to_be_focused()
    facts = page.locator(".facts-section", has=page.get_by_role("heading", name="What the shop says"))
    await expect(facts).to_contain_text("Red")
    similar = page.get_by_role("region", name="Similar products").get_by_role("link")
    await expect(similar).to_have_count(12)
    likes = await similar.locator(".name").all_inner_texts()
    async with answered(page):
        await page.get_by_role("button", name="Find similar").click()
    await expect(page.locator(".chip")).to_contain_text(f"Like {title}")
    assert (await titles(page))[:12] == likes


async def test_scrolling_brings_every_product_once(page: Page, drawn: Shop) -> None:
    """Page after page comes, to the last product of the catalogue, and none comes twice."""
    stock = {row["title"] for row in drawn.rows()}
    await search_words(page, "shoes")
    hits = page.locator(".hit h3")
    while (count := await hits.count()) < len(stock):
        await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        await expect(hits).not_to_have_count(count)
    await expect(page.get_by_text("That is all.")).to_be_visible()
    assert sorted(await titles(page)) == sorted(stock)


async def test_the_way_back_shows_the_hits_before(page: Page) -> None:
    """The browser's back button shows a search as it was, without asking for it again."""
    await search_words(page, "red shoes")
    before = await titles(page)
    await search_words(page, "blue dresses")
    await expect(page.locator(".hit h3").first).to_contain_text("blue dresses")
    sent = searches(page)
    await page.go_back()
    await expect(page.locator(".hit h3")).to_have_text(before)
    await expect(page.get_by_role("searchbox")).to_have_value("red shoes")
    # Had it been asked for, that would have been before this.
    await search_words(page, "green shirts")
    assert len(sent) == 1


async def test_a_link_shows_a_friend_the_same(page: Page, browser: Browser, mesh: LiveMesh) -> None:
    """Another browser has the same hits with the same filters by the address alone."""
    await search_words(page, "red shoes")
    await page.get_by_role("checkbox", name="Women").check()
    await expect(page.locator("#grid:not(.stale) .hit h3").last).to_contain_text("Women")
    link = await copied_link(page)
    shown = await titles(page)
    async with friend(browser, mesh) as theirs:
        await follow(theirs, link)
        assert await titles(theirs) == shown
        await expect(theirs.get_by_role("checkbox", name="Women")).to_be_checked()


async def test_a_link_brings_the_photo_to_a_friend(
    page: Page, browser: Browser, mesh: LiveMesh, drawn: Shop
) -> None:
    """The small copy in the link finds the photo's product first in another browser."""
    await choose_photo(page, photo(drawn, "Men's yellow handbags"))
    link = await copied_link(page)
    async with friend(browser, mesh) as theirs:
        await follow(theirs, link)
        await expect(theirs.locator(".hit h3").first).to_have_text("Men's yellow handbags")
        await expect(badges(theirs).first).to_have_text(re.compile("high$"))
        await expect(theirs.locator(".chip")).to_contain_text("Shared photo")


async def test_the_page_speaks_german(page: Page) -> None:
    """The search stays, and texts, bands and numbers are German from then on."""
    await search_words(page, "red shoes")
    found = await titles(page)
    await page.get_by_label("Language").select_option("de")
    await expect(page.locator("html")).to_have_attribute("lang", "de")
    await expect(badges(page).first).to_have_text(re.compile("^[0-9]+ (hoch|mittel|gering)$"))
    assert await titles(page) == found
    await page.get_by_role("button", name="Warum").first.click()
    panel = page.get_by_role("dialog")
    await panel.get_by_text("Die Zahlen dahinter").click()
    await expect(panel.locator(".numbers tfoot td")).to_have_text(re.compile("^[0-9],[0-9]{2}$"))


async def test_pictures_lie_within_their_frames(page: Page, drawn: Shop) -> None:
    """No picture is cut: on the shelf, among the hits and in the panel it lies in the middle of its frame."""
    await expect_in_frame(page, "#shelf .picture img")
    await choose_photo(page, photo(drawn, "Women's red shoes"))
    await expect_in_frame(page, ".hit .picture img")
    await page.get_by_role("button", name="Why ").first.click()
    await expect_in_frame(page, "dialog .picture img")


async def expect_in_frame(page: Page, selector: str) -> None:
    """Hold all of some pictures to it."""
    await expect(page.locator(selector).first).to_be_visible()
    places = await page.locator(selector).evaluate_all(f"(images) => images.map({OUTSIDE})")
    for over, off in places:
        assert over <= 0, selector
        assert off < 1, selector


async def test_a_file_that_is_no_picture_is_told_in_words(page: Page, drawn: Shop) -> None:
    """A shopper reads a sentence, field and trace wait in closed details, and another photo can be chosen."""
    await page.get_by_label("Search with a photo").set_input_files(
        file_of(b"no picture at all", "mine.jpg", "image/jpeg")
    )
    alert = page.get_by_role("alert")
    await expect(alert.get_by_role("heading")).to_have_text("This photo cannot be used")
    await expect(alert.get_by_role("paragraph").first).to_have_text(
        "This file is not a picture we can read. Try a JPEG, PNG or WebP."
    )
    await expect(alert.get_by_text("Trace ")).to_be_hidden()
    await alert.get_by_text("Technical details").click()
    await expect(alert.get_by_text("Trace ")).to_be_visible()
    async with page.expect_file_chooser() as choosing, answered(page):
        await alert.get_by_role("button", name="Choose another photo").click()
        await (await choosing.value).set_files(file_of(photo(drawn, "Women's red shoes")))
    await expect(page.locator(".hit h3").first).to_have_text("Women's red shoes")
    await expect(alert).to_have_count(0)


async def test_what_is_not_there_is_said(page: Page, drawn: Shop) -> None:
    """Instead of an unknown catalogue others are offered; from an unknown product a way leads to the shop."""
    sent = searches(page)
    await page.goto("/?catalog=nope&q=shoes")
    alert = page.get_by_role("alert")
    await expect(alert).to_contain_text("There is no catalogue “nope”")
    await alert.get_by_role("button", name=drawn.catalog, exact=True).click()
    await expect(page.locator(".hit h3").first).to_contain_text("shoes")
    assert f"catalog={drawn.catalog}" in page.url
    assert {request.url.rpartition("/")[2] for request in sent} == {f"{drawn.catalog}:search"}
    await page.goto(f"/?catalog={drawn.catalog}&item=nope")
    await expect(alert).to_contain_text("This is not there any more")
    await page.get_by_role("button", name="Start").click()
    await expect(page.locator("#shelf button").first).to_be_visible()


async def test_without_a_connection_the_page_says_so(page: Page, mesh: LiveMesh) -> None:
    """Offline there is a sentence and a way to try again; a gateway that hangs only makes one wait."""
    await page.context.set_offline(offline=True)
    await page.get_by_role("searchbox").fill("red shoes")
    await page.keyboard.press("Enter")
    alert = page.get_by_role("alert")
    await expect(alert.get_by_role("heading")).to_have_text("No connection")
    await page.context.set_offline(offline=False)
    with mesh.hanging("gateway"):
        await page.get_by_role("button", name="Try again").click()
        await expect(page.locator("#status")).to_have_text("Searching…")
        await expect(page.locator(".skeleton").first).to_be_visible()
    await hits_shown(page)
    await expect(alert).to_have_count(0)


async def test_the_first_search_asks_only_what_the_catalogue_has(page: Page, bare: Shop) -> None:
    """Where the shop states nothing, one request asks for what models saw, which is marked as guessed."""
    sent = searches(page)
    await follow(page, f"/?catalog={bare.catalog}&q=shoes")
    await expect(page.locator(".hit")).to_have_count(2)
    assert len(sent) == 1
    category = page.get_by_role("group", name="Category guessed from photos")
    await category.get_by_role("checkbox").first.check()
    await expect(page.locator("#grid:not(.stale) .hit")).to_have_count(1)
    assert len(sent) == 2

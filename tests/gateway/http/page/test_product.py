from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, Route, expect

from services.mesh.errors import Unavailable
from tests.gateway.http.conftest import Site
from tests.gateway.http.page.visits import choose_photo, hits_shown, search_words
from vitrine.v1 import catalog_pb2

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]

LINK = "/?catalog=demo&item=shoes-red-men"
READ = "**/products/shoes-red-men"


def red_shoes(site: Site) -> catalog_pb2.Product:
    """The product that the link is of."""
    return next(one for one in site.flows.stock if one.name.endswith("/shoes-red-men"))


async def open_hit(page: Page) -> None:
    """Search and open the best hit."""
    await search_words(page, "red shoes")
    await page.get_by_role("link", name="Red shoes for men", exact=True).click()
    await product_shown(page)


async def product_shown(page: Page, title: str = "Red shoes for men") -> None:
    """Wait for a product's title, which has the focus."""
    await expect(page.get_by_role("heading", level=1, name=title)).to_be_focused()


async def test_a_hit_opens_its_product(page: Page) -> None:
    """The page tells all that is known of it, and how similar it is to the query."""
    await open_hit(page)
    product = page.locator("#product")
    await expect(product.locator(".known > .price")).to_have_text("11.50")
    await expect(product.locator(".known .badge")).to_have_text("90 high")
    stated = product.locator("section", has=page.get_by_role("heading", name="What the shop says"))
    await expect(stated.locator("dt")).to_have_text(["Category", "Colour", "Gender"])
    await expect(stated.locator("dd")).to_have_text(["Footwear", "Red", "Men"])
    suggested = product.locator("section", has=page.get_by_role("heading", name="What its photo suggests"))
    await expect(suggested.locator("dd")).to_have_text(["Footwear (88%)"])
    await expect(page).to_have_title("Red shoes for men · Vitrine")
    await expect(page.locator("#columns")).to_be_hidden()


async def test_a_link_to_a_product_needs_no_search(tab: Page, site: Site) -> None:
    """The product stands alone: nothing of a query, and the way back is the start."""
    await tab.goto(LINK)
    await product_shown(tab)
    await expect(tab.locator("#product .known .badge")).to_have_count(0)
    await expect(tab.get_by_role("button", name="More like this")).to_have_count(0)
    await expect(tab.get_by_role("link", name="Beige bag for men")).to_be_visible()
    assert [one.parts[0].product for one in site.search.requests] == ["shoes-red-men"]
    await tab.get_by_role("button", name="Start").click()
    await expect(tab.locator("#welcome")).to_be_visible()


async def test_a_link_to_a_product_of_a_search_leads_to_its_hits(tab: Page) -> None:
    """Where the address has a query beside the product, the way back are the results."""
    await tab.goto(f"{LINK}&q=blue+bag")
    await product_shown(tab)
    await tab.get_by_role("button", name="Back to the results").click()
    await expect(tab.locator(".hit h3").first).to_have_text("Blue bag for men")
    await tab.go_back()
    await product_shown(tab)


async def test_photos_are_chosen_by_thumbnails_and_arrows(tab: Page, site: Site) -> None:
    """The big photo follows clicks and arrow keys, round and round."""
    product, other = red_shoes(site), site.flows.stock[-1]
    product.photos.add(id="side", media_path=other.photos[0].media_path, width=320, height=400)
    await tab.goto(LINK)
    big = tab.locator("#product .big img")
    await expect(big).to_have_attribute("src", product.photos[0].media_path)
    second = tab.get_by_role("button", name="Photo 2 of 2")
    await second.click()
    await expect(big).to_have_attribute("src", other.photos[0].media_path)
    await expect(second).to_have_attribute("aria-current", "true")
    await tab.keyboard.press("ArrowRight")
    await expect(tab.get_by_role("button", name="Photo 1 of 2")).to_be_focused()
    await expect(big).to_have_attribute("src", product.photos[0].media_path)
    await tab.keyboard.press("ArrowLeft")
    await expect(second).to_be_focused()


async def test_a_photo_can_be_looked_at_closer(tab: Page) -> None:
    """The big photo opens in a dialog; Escape closes it and the focus returns."""
    await tab.goto(LINK)
    await tab.get_by_role("button", name="Look closer").press("Enter")
    closer = tab.get_by_role("dialog", name="Red shoes for men")
    await expect(closer.get_by_role("img", name="Red shoes for men")).to_be_visible()
    await tab.keyboard.press("Escape")
    await expect(closer).to_have_count(0)
    await expect(tab.get_by_role("button", name="Look closer")).to_be_focused()


async def test_the_photo_that_matched_is_the_big_one(page: Page, site: Site) -> None:
    """A hit by its second photo shows this one first."""
    product = red_shoes(site)
    front = product.photos[0].media_path
    product.photos.insert(
        0, catalog_pb2.Photo(id="side", media_path=site.flows.stock[-1].photos[0].media_path)
    )
    await open_hit(page)
    await expect(page.locator("#product .big img")).to_have_attribute("src", front)


async def test_a_product_without_photos_says_so(tab: Page, site: Site) -> None:
    """Its frame has words in place of a picture, and cannot be looked at closer."""
    del red_shoes(site).photos[:]
    await tab.goto(LINK)
    await product_shown(tab)
    await expect(tab.locator("#product .big")).to_have_text("No picture")
    await expect(tab.get_by_role("button", name="Look closer")).to_have_count(0)


async def test_addresses_are_links_and_all_else_is_text(tab: Page, site: Site) -> None:
    """A link to the shop tells it nothing of where the visitor came from; scripts and markup stay words."""
    product = red_shoes(site)
    product.description = "<b>Canvas</b>\nwith laces"
    for name, text in (("url", "https://shop.example/p/1"), ("note", "javascript:alert(1)")):
        product.attributes[name].values.add(text=text)
    product.attributes["vegan"].values.add(flag=True)
    await tab.goto(LINK)
    link = tab.get_by_role("link", name="shop.example")
    await expect(link).to_have_attribute("href", "https://shop.example/p/1")
    await expect(link).to_have_attribute("rel", "noopener noreferrer")
    await expect(tab.get_by_role("link", name="javascript")).to_have_count(0)
    await expect(tab.get_by_text("<b>Canvas</b>")).to_be_visible()
    await tab.get_by_text("More details").click()
    facts = tab.locator("#product .facts-section").first
    await expect(facts).to_contain_text("Note")
    await expect(facts).to_contain_text("Veganyes")


async def test_what_is_well_known_comes_first(tab: Page, site: Site) -> None:
    """Brand, category and the like in their order; all else unfolds, and values stand below each other."""
    product = red_shoes(site)
    for name in ("size", "brand", "zip_kind", "usage"):
        product.attributes[name].values.add(text=name)
    await tab.goto(LINK)
    stated = tab.locator("#product .facts-section").first
    names = stated.locator("dt")
    await expect(names).to_have_text(
        ["Brand", "Category", "Colour", "Gender", "Occasion", "Size", "Zip kind"]
    )
    await expect(names.last).to_be_hidden()
    await stated.get_by_text("More details").click()
    await expect(names.last).to_be_visible()
    boxes = [await one.bounding_box() for one in await tab.locator("#product .facts-list dd").all()]
    assert len({box["x"] for box in boxes if box}) == 1


async def test_a_small_photo_is_not_blown_up(tab: Page, site: Site) -> None:
    """It is shown at one and a half times its size at most, without a blank around it, on a phone too."""
    red_shoes(site).photos[0].width, red_shoes(site).photos[0].height = 160, 200
    await tab.goto(LINK)
    await product_shown(tab)
    photo, frame = tab.locator("#product .big img"), tab.locator("#product .big .picture")
    box, around = await photo.bounding_box(), await frame.bounding_box()
    assert box is not None
    assert around is not None
    assert box["width"] <= 240
    assert around["width"] - box["width"] <= 4
    assert around["height"] - box["height"] <= 4
    await tab.set_viewport_size({"width": 390, "height": 844})
    box = await photo.bounding_box()
    assert box is not None
    assert box["width"] <= 240


async def test_similar_but_cheaper(tab: Page, site: Site) -> None:
    """Products like it below its price, of the gender and category that are chosen; other filters go."""
    await tab.goto("/?catalog=demo&item=bag-red-men&q=bag&gender=Men&colour=Red&min=30")
    await product_shown(tab, "Red bag for men")
    await tab.get_by_role("button", name="Similar, but cheaper").click()
    await hits_shown(tab)
    await expect(tab).to_have_url(re.compile(r"\?catalog=demo&max=56.49&like=bag-red-men&gender=Men$"))
    prices = [float(one) for one in await tab.locator(".hit .price").all_inner_texts()]
    assert prices
    assert max(prices) < 56.5
    assert {part.product for part in site.search.requests[-1].parts} == {"bag-red-men"}


async def test_without_a_price_nothing_is_cheaper(tab: Page, site: Site) -> None:
    """Where the shop tells no price there is no such button."""
    del red_shoes(site).attributes["price"]
    await tab.goto(LINK)
    await product_shown(tab)
    await expect(tab.get_by_role("button", name="Find similar")).to_be_visible()
    await expect(tab.get_by_role("button", name="cheaper")).to_have_count(0)


async def test_more_and_less_stand_together(page: Page) -> None:
    """However narrow the page, the two are side by side."""
    await open_hit(page)
    for width in (1280, 700, 360):
        await page.set_viewport_size({"width": width, "height": 800})
        more, less = [
            await page.get_by_role("button", name=name, exact=True).bounding_box()
            for name in ("More like this", "Less like this")
        ]
        assert more is not None
        assert less is not None
        assert more["y"] == less["y"]


async def test_similar_products_are_links_to_their_pages(page: Page, site: Site) -> None:
    """Twelve others, without the product itself; each has an address that keeps the search."""
    await open_hit(page)
    similar = page.locator(".similar a")
    await expect(similar).to_have_count(12)
    assert site.search.requests[-1].parts[0].product == "shoes-red-men"
    first = similar.first
    await expect(first).to_have_attribute("href", "/?catalog=demo&q=red+shoes&item=bag-beige-men")
    await first.click()
    await product_shown(page, "Beige bag for men")
    await expect(page).to_have_url(re.compile("item=bag-beige-men"))
    await expect(similar).to_have_count(12)
    assert "shoes-red-men" not in [one.rsplit("=", 1)[-1] for one in await hrefs(page, "#product a[href]")]


async def hrefs(page: Page, selector: str) -> list[str]:
    """Where links lead to."""
    return [await one.get_attribute("href") or "" for one in await page.locator(selector).all()]


async def test_similar_products_that_cannot_be_had_are_no_error_of_the_page(tab: Page, site: Site) -> None:
    """A quiet sentence stands in their place, and trying again shows them."""
    site.search.error = Unavailable("no shard answered")
    await tab.goto(LINK)
    await product_shown(tab)
    await expect(tab.get_by_text("Similar products cannot be shown right now.")).to_be_visible()
    site.search.error = None
    await tab.get_by_role("button", name="Try again").click()
    await expect(tab.locator(".similar a")).to_have_count(12)


async def test_a_product_that_is_gone_is_said(tab: Page) -> None:
    """A link to what is not there any more says so and leads on."""
    await tab.goto("/?catalog=demo&item=nothing")
    await expect(tab.get_by_role("alert")).to_contain_text("This is not there any more")
    await tab.get_by_role("button", name="Start").click()
    await expect(tab.locator("#welcome")).to_be_visible()


async def test_a_failed_read_can_be_retried(tab: Page) -> None:
    """Where the product cannot be read, the page offers to try again."""
    await tab.route(READ, lambda route: route.fulfill(status=503))
    await tab.goto(LINK)
    await expect(tab.get_by_role("alert")).to_contain_text("not available right now")
    await tab.unroute(READ)
    await tab.get_by_role("button", name="Try again").click()
    await product_shown(tab)


async def test_what_the_hit_had_is_shown_when_the_product_cannot_be_read(page: Page) -> None:
    """A product that was seen a moment ago stays, whatever befalls the reading of it."""
    await page.route(READ, lambda route: route.fulfill(status=503))
    async with page.expect_response(READ):
        await open_hit(page)
    await expect(page.locator(".similar a")).to_have_count(12)
    await expect(page.locator("#product [role=alert]")).to_have_count(0)


async def test_what_has_changed_since_the_search_is_shown(page: Page) -> None:
    """The product is read anew, and drawn again where it differs; the title keeps the focus."""

    async def changed(route: Route) -> None:
        answer = await (await route.fetch()).json()
        answer["product"]["title"] = "Red shoes, reduced"
        await route.fulfill(json=answer)

    await page.route(READ, changed)
    await search_words(page, "red shoes")
    await page.get_by_role("link", name="Red shoes for men", exact=True).click()
    await product_shown(page, "Red shoes, reduced")


async def test_a_product_becomes_the_query(tab: Page, site: Site) -> None:
    """Similar products can be found from it, with all that a search has."""
    await tab.goto(LINK)
    await expect(tab.locator(".similar a")).to_have_count(12)
    await tab.get_by_role("button", name="Find similar").click()
    await hits_shown(tab)
    await expect(tab).to_have_url(re.compile(r"\?catalog=demo&like=shoes-red-men$"))
    assert site.search.requests[-1].k == 24


async def test_more_and_less_like_a_product_change_the_search(page: Page, site: Site) -> None:
    """Each button tells whether it holds, takes the other's place, and is taken back by another press."""
    await open_hit(page)
    more, less = (
        page.get_by_role("button", name=name, exact=True) for name in ("More like this", "Less like this")
    )
    await expect(more).to_have_attribute("aria-pressed", "false")
    await more.click()
    await expect(page).to_have_url(re.compile("like=shoes-red-men"))
    await hits_shown(page)
    await page.goto(f"{page.url}&item=shoes-red-men")
    await expect(more).to_have_attribute("aria-pressed", "true")
    await expect(page.locator(".similar a")).to_have_count(12)
    await less.click()
    await expect(page).to_have_url(re.compile("unlike=shoes-red-men"))
    await hits_shown(page)
    assert [part.product for part in site.search.requests[-1].parts if part.weight < 0] == ["shoes-red-men"]


async def test_a_full_search_takes_no_more_wishes(tab: Page) -> None:
    """With eight parts there is no room; the buttons say so and change nothing."""
    likes = "".join(
        f"&like=bag-{colour}-{gender}" for colour in ("red", "blue") for gender in ("men", "women", "unisex")
    )
    await tab.goto(f"{LINK}&q=shoes{likes}&like=shirt-red-men")
    more = tab.get_by_role("button", name="More like this", exact=True)
    await expect(more).to_have_attribute("aria-disabled", "true")
    await expect(more).to_have_attribute("title", re.compile("at most 8 wishes"))
    url = tab.url
    await more.click(force=True)
    assert tab.url == url


async def test_a_photo_stays_beside_the_product(page: Page) -> None:
    """The way from a photo to a product and back keeps the photo."""
    await choose_photo(page)
    await page.locator(".hit a").first.click()
    await expect(page.get_by_role("button", name="Back to the results")).to_be_visible()
    await page.get_by_role("button", name="Back to the results").click()
    await hits_shown(page)
    await expect(page).to_have_url(re.compile(r"\?catalog=demo&photo=1$"))


async def test_a_product_can_be_shared(page: Page, site: Site) -> None:
    """The link is of the product alone."""
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await open_hit(page)
    await page.get_by_role("button", name="Share").click()
    await expect(page.get_by_role("status").filter(has_text="copied")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == f"{site.url}{LINK}"


async def test_a_product_fits_a_phone(tab: Page) -> None:
    """On a narrow screen nothing is wider than the screen."""
    await tab.set_viewport_size({"width": 360, "height": 740})
    await tab.goto(f"{LINK}&q=red+shoes")
    await expect(tab.locator(".similar a")).to_have_count(12)
    assert await tab.evaluate("document.documentElement.scrollWidth") <= 360

"""Links that bring a friend to the same search."""

from __future__ import annotations

import base64
import io
import json
import re
from urllib.parse import urlsplit

import pytest
from PIL import Image
from playwright.async_api import Browser, Page, expect

from tests.browser import visitor
from tests.gateway.http.conftest import Site
from tests.gateway.http.page.visits import (
    RED_SHOES,
    all_done,
    answered,
    choose_photo,
    copied_link,
    drag_frame,
    encoded,
    follow,
    hits_shown,
    search_words,
    use_part,
)

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]

# The phone's own sheet, in place of the system's: it keeps what it is given; the visitor may put it away.
SHEET = "navigator.share = async (data) => { window.shared = data; }"
PUT_AWAY = (
    "navigator.share = async (data) => "
    "{ window.shared = data; throw new DOMException('put away', 'AbortError'); }"
)


def photo_in(link: str) -> bytes:
    """The photo that a link holds."""
    text = urlsplit(link).fragment.removeprefix("photo=")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def test_words_are_shared_as_their_address(page: Page) -> None:
    """A link to a search of words is the page's own."""
    await search_words(page, "red shoes")
    assert await copied_link(page) == page.url
    await expect(page.locator(".toast")).to_have_text("Link copied")


async def test_a_friend_sees_what_was_shared(page: Page, browser: Browser, site: Site) -> None:
    """Another browser searches with the photo and the words of a link, and takes that out of its address."""
    await page.get_by_role("searchbox").fill("in blue")
    await choose_photo(page)
    link = await copied_link(page)
    await expect(page.locator(".toast")).to_have_text(
        "Link copied. It holds a small copy of your photo, so your friends’ results may differ a little."
    )
    async with visitor(browser, site.url) as friends:
        friend = await friends.new_page()
        await follow(friend, link)
        photo, words = site.search.requests[-1].parts
        assert words.text == "in blue"
        assert photo.image.content == photo_in(link)
        with Image.open(io.BytesIO(photo.image.content)) as copy:
            assert copy.size == (256, 320)
        await expect(friend.locator(".chip")).to_contain_text("Shared photo")
        assert friend.url == f"{site.url}/?catalog=demo&q=in+blue&photo=1"
        await friend.reload()
        await hits_shown(friend)
        assert site.search.requests[-1].parts[0].image.content == photo_in(link)


async def test_of_a_part_only_that_part_is_shared(page: Page, browser: Browser, site: Site) -> None:
    """What was left out of the photo does not leave the browser; the link needs no box."""
    two = Image.new("RGB", (400, 200), "red")
    two.paste("blue", (200, 0, 400, 200))
    await choose_photo(page, encoded(two))
    await page.get_by_role("button", name="Choose a part").click()
    await drag_frame(page, (0.6, 0.1), (0.9, 0.9))
    await use_part(page)
    box = site.search.requests[-1].parts[0].image.box
    assert box.left > 0.5
    link = await copied_link(page)
    assert "box" not in link
    with Image.open(io.BytesIO(photo_in(link))) as copy:
        red, _, blue = copy.convert("RGB").resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]  # A pixel of three.
        assert copy.size == (round((box.right - box.left) * 400), round((box.bottom - box.top) * 200))
    assert red < 50
    assert blue > 200
    async with visitor(browser, site.url) as friends:
        friend = await friends.new_page()
        await follow(friend, link)
        assert site.search.requests[-1].parts[0].image.content == photo_in(link)
        assert not site.search.requests[-1].parts[0].image.HasField("box")


async def test_the_copy_of_a_busy_photo_is_small(page: Page) -> None:
    """A link stays short enough to be sent around, whatever is on the photo."""
    noise = Image.effect_noise((900, 700), 60).convert("RGB")
    await choose_photo(page, encoded(noise, "JPEG"), "noise.jpg")
    copy = photo_in(await copied_link(page))
    assert len(copy) < 32_768
    with Image.open(io.BytesIO(copy)) as image:
        assert max(image.size) == 320


@pytest.mark.parametrize("words", ["", "red"])
async def test_an_address_without_its_photo_says_so(
    page: Page, browser: Browser, site: Site, words: str
) -> None:
    """What is copied from the address bar has no photo in it: the friend is told, and can go on."""
    await page.get_by_role("searchbox").fill(words)
    await choose_photo(page)
    asked = len(site.search.requests)
    async with visitor(browser, site.url) as friends:
        friend = await friends.new_page()
        await friend.goto(page.url)
        await expect(friend.get_by_role("heading", name="This link came without its photo")).to_be_visible()
        await expect(friend.get_by_text("can use the button Share")).to_be_visible()
        assert len(site.search.requests) == asked
        without = friend.get_by_role("button", name="Search without it")
        if words:
            async with answered(friend):
                await without.click()
            assert [part.text for part in site.search.requests[-1].parts] == [words]
            assert friend.url == f"{site.url}/?catalog=demo&q={words}"
        else:
            await expect(without).to_have_count(0)
            await choose_photo(friend)
            assert site.search.requests[-1].parts[0].image.content == RED_SHOES


async def test_a_link_is_followed_where_the_page_is_open_already(tab: Page, site: Site) -> None:
    """Only the fragment of the address changes then, and the photo is searched with all the same."""
    await tab.goto("/?catalog=demo")
    await expect(tab.locator("#shelf button").first).to_be_visible()
    text = base64.urlsafe_b64encode(RED_SHOES).decode().rstrip("=")
    async with answered(tab):
        await tab.evaluate("address => location.assign(address)", f"/?catalog=demo#photo={text}")
    assert site.search.requests[-1].parts[0].image.content == RED_SHOES


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("%", id="no base64"),
        pytest.param("aGVsbG8", id="no picture"),
        pytest.param(base64.urlsafe_b64encode(RED_SHOES).decode() + "A" * 65_536, id="too much"),
    ],
)
async def test_a_broken_link_says_so(tab: Page, site: Site, text: str) -> None:
    """What is no photo is taken out of the address, said, and not sent."""
    await tab.goto(f"/?catalog=demo&q=red#photo={text}")
    await expect(tab.locator(".toast")).to_contain_text("The photo in this link cannot be shown")
    await hits_shown(tab)
    assert tab.url == f"{site.url}/?catalog=demo&q=red"
    assert [part.text for part in site.search.requests[-1].parts] == ["red"]


async def test_without_a_clipboard_the_link_is_shown(tab: Page, site: Site) -> None:
    """Where the browser keeps its clipboard to itself, the link stands there to be copied."""
    await tab.add_init_script("delete Navigator.prototype.clipboard")
    await follow(tab, "/?catalog=demo&q=red")
    await tab.get_by_role("button", name="Share").click()
    dialog = tab.get_by_role("dialog", name="Share this link")
    await expect(dialog.get_by_label("Copy this link")).to_have_value(f"{site.url}/?catalog=demo&q=red")
    await expect(dialog.get_by_label("Copy this link")).to_be_focused()
    await tab.keyboard.press("Escape")
    await expect(tab.get_by_role("button", name="Share")).to_be_focused()


@pytest.mark.parametrize("sheet", [SHEET, PUT_AWAY])
async def test_a_phone_shares_in_its_own_way(browser: Browser, site: Site, sheet: str) -> None:
    """The system's sheet gets the link; whoever puts it away has shared nothing, and nothing is said."""
    async with visitor(browser, site.url, has_touch=True, is_mobile=True) as context:
        phone = await context.new_page()
        await phone.add_init_script(sheet)
        await follow(phone, "/?catalog=demo&q=red")
        await phone.get_by_role("button", name="Share").click()
        await phone.wait_for_function("window.shared")
        given = json.loads(await phone.evaluate("JSON.stringify(window.shared)"))
        assert given == {"title": "red · Vitrine", "url": f"{site.url}/?catalog=demo&q=red"}
        await all_done(phone)
        await expect(phone.get_by_role("dialog")).to_have_count(0)
        await expect(phone.locator(".toast")).to_have_count(0)


async def test_a_photo_that_the_browser_cannot_read_stays_out_of_the_link(page: Page) -> None:
    """The link is copied, and the page says what it lacks."""
    await page.get_by_role("searchbox").fill("red")
    await choose_photo(page, b"\0\0\0\x18ftypheic", "mine.heic")
    link = await copied_link(page)
    assert re.search(r"q=red$", link)
    await expect(page.locator(".toast")).to_contain_text("without your photo")


async def test_a_product_is_shared_without_the_search(tab: Page) -> None:
    """A link to a product has nothing of the photo and words that it was found with."""
    await tab.goto("/healthz")
    link = await tab.evaluate(
        """async () => {
            const { linkOf } = await import("/js/search/share.js");
            const { emptyState } = await import("/js/state.js");
            const found = { words: "red", photo: { blob: new Blob() } };
            return (await linkOf({ ...emptyState("demo"), ...found, item: "bag-red-men" })).link;
        }"""
    )
    assert link.endswith("/?catalog=demo&item=bag-red-men")

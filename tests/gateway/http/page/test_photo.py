"""Photos: how they come to the page, and what is sent of them."""

from __future__ import annotations

import io

import pytest
from PIL import Image
from playwright.async_api import Browser, Page, expect

from tests.browser import visitor
from tests.gateway.http.conftest import Site
from tests.gateway.http.page.visits import (
    RED_SHOES,
    answered,
    choose_photo,
    drop_photo,
    encoded,
    file_of,
    hits_shown,
    hold_until,
    paste_photo,
    search_words,
    transfer_of,
)

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]

# As a camera writes it that is held upright: the picture lies on its side.
ON_ITS_SIDE = 6
ORIENTATION = 0x0112


def snapshot() -> bytes:
    """A photo of some megabytes, 1,800 x 2,400 pixels when it stands upright, with a white upper half."""
    picture = Image.effect_noise((1800, 2400), 120).convert("RGB")
    picture.paste("white", (0, 0, 1800, 1200))
    exif = Image.Exif()
    exif[ORIENTATION] = ON_ITS_SIDE
    return encoded(picture.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=90, exif=exif)


def sent(site: Site) -> bytes:
    """The photo that was searched with last."""
    return site.search.requests[-1].parts[0].image.content


async def test_a_chosen_photo_is_sent_as_it_is(page: Page, site: Site) -> None:
    """A small photo is shown as a part of the query and sent byte for byte."""
    await choose_photo(page)
    await expect(page.locator(".chip")).to_contain_text("Your photo")
    assert sent(site) == RED_SHOES


async def test_the_field_shows_the_photo(page: Page) -> None:
    """Far down in the hits and beside a product, one sees what is searched with; words keep clear of it."""
    glimpse = page.locator(".glimpse")
    await expect(glimpse).to_be_hidden()
    start = "node => parseFloat(getComputedStyle(node).paddingInlineStart)"
    bare = await page.get_by_role("searchbox").evaluate(start)
    await choose_photo(page)
    await expect(glimpse.locator("canvas")).to_be_visible()
    assert await page.get_by_role("searchbox").evaluate(start) > bare
    await expect(glimpse.locator("canvas")).to_have_js_property("width", 90)
    await expect(glimpse.locator("canvas")).to_have_js_property("height", 112)
    await page.mouse.wheel(0, 3000)
    await expect(page.locator(".chip")).not_to_be_in_viewport()
    await expect(glimpse).to_be_in_viewport()
    await page.locator(".hit .title").first.click()
    await expect(page.locator("#product h1")).to_be_visible()
    await expect(page.locator(".chip")).to_be_hidden()
    await expect(glimpse).to_be_visible()
    await page.get_by_role("link", name="Vitrine").click()
    await expect(glimpse).to_be_hidden()


async def test_a_dropped_photo_is_searched_with(page: Page, site: Site) -> None:
    """Dropping one anywhere on the page is choosing it."""
    await drop_photo(page)
    await expect(page.locator(".chip .name")).to_have_attribute("title", "dropped.png")
    assert sent(site) == RED_SHOES


async def test_the_page_says_where_a_photo_can_be_dropped(page: Page) -> None:
    """While a file is over the page a curtain says so; a text that is dragged is none of its business."""
    curtain = page.get_by_text("Drop the photo to search with it")
    text = await page.evaluate_handle(
        "() => { const one = new DataTransfer(); one.setData('text/plain', 'hello'); return one; }"
    )
    await page.dispatch_event("body", "dragenter", {"dataTransfer": text})
    await expect(curtain).to_be_hidden()
    file = await transfer_of(page, RED_SHOES, "mine.png", "image/png")
    await page.dispatch_event("body", "dragenter", {"dataTransfer": file})
    await expect(curtain).to_be_visible()
    await page.dispatch_event("body", "dragleave", {"dataTransfer": file})
    await expect(curtain).to_be_hidden()


async def test_a_pasted_photo_is_searched_with(page: Page, site: Site) -> None:
    """Pasting one is choosing it, also while typing; the words stay."""
    await page.get_by_role("searchbox").fill("in blue")
    await paste_photo(page)
    await expect(page.get_by_role("searchbox")).to_have_value("in blue")
    assert sent(site) == RED_SHOES
    assert site.search.requests[-1].parts[1].text == "in blue"


async def test_a_file_that_is_no_picture_is_refused(page: Page, site: Site) -> None:
    """A file of another type is refused on the page, in words, and nothing is sent."""
    await page.get_by_label("Search with a photo").set_input_files(
        file_of(b"hello", "notes.txt", "text/plain")
    )
    await expect(page.get_by_role("alert")).to_contain_text("notes.txt is not a picture.")
    assert site.search.requests == []


async def test_a_photo_that_is_too_large_is_refused(page: Page, site: Site) -> None:
    """More than 20 MB are refused on the page, in words, and nothing is sent."""
    transfer = await page.evaluate_handle(
        """() => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(20_000_001)], "huge.jpg", { type: "image/jpeg" }));
            return transfer;
        }"""
    )
    await page.dispatch_event("body", "drop", {"dataTransfer": transfer})
    await expect(page.get_by_role("alert")).to_contain_text("huge.jpg is larger than 20 MB.")
    assert site.search.requests == []


async def test_a_large_photo_is_made_smaller(page: Page, site: Site) -> None:
    """What a phone's camera takes is sent with 1,600 pixels at its longer side, upright."""
    large = snapshot()
    await choose_photo(page, large, "camera.jpg")
    with Image.open(io.BytesIO(sent(site))) as small:
        assert small.size == (1200, 1600)
        assert small.format == "JPEG"
        assert not small.getexif().get(ORIENTATION)
        assert small.convert("L").getpixel((600, 200)) == 255
    assert len(sent(site)) < len(large)


async def test_what_the_browser_cannot_decode_is_left_to_the_server(page: Page, site: Site) -> None:
    """A large file of a kind that only the server may know is sent as it is; it has no part to choose."""
    content = b"\0\0\0\x18ftypheic" + bytes(1_600_000)
    async with answered(page):
        await page.get_by_label("Search with a photo").set_input_files(file_of(content, "IMG_1.HEIC", ""))
    assert sent(site) == content
    await expect(page.locator(".chip .name")).to_have_attribute("title", "IMG_1.HEIC")
    await expect(page.get_by_role("button", name="Choose a part")).to_be_hidden()


async def test_a_file_chosen_before_the_catalogues_are_known_waits_for_them(tab: Page) -> None:
    """What the page says of it is not wiped away when the catalogues come."""
    known = await hold_until(tab, "**/v1/catalogs*")
    await tab.goto("/")
    await tab.get_by_label("Search with a photo").set_input_files(
        file_of(b"hello", "notes.txt", "text/plain")
    )
    known.set()
    await expect(tab.locator("#shelf li").first).to_be_attached()
    await expect(tab.get_by_role("alert")).to_contain_text("notes.txt is not a picture.")


async def test_the_same_file_can_be_chosen_again(page: Page) -> None:
    """A photo that was taken away comes back when it is chosen once more."""
    await choose_photo(page)
    await page.get_by_role("button", name="Remove: Your photo").click()
    await expect(page.locator(".chip")).to_have_count(0)
    await choose_photo(page)
    await expect(page.locator(".chip")).to_have_count(1)


async def test_a_photo_outlives_a_reload_and_comes_back(page: Page, site: Site) -> None:
    """It is there after a reload, and again on the way back from another search."""
    await choose_photo(page)
    await page.reload()
    await hits_shown(page)
    assert sent(site) == RED_SHOES
    await page.get_by_role("button", name="Remove: Your photo").click()
    await search_words(page, "bag")
    await page.go_back()
    await page.go_back()
    await expect(page.locator(".chip")).to_contain_text("Your photo")


async def test_a_phone_offers_its_camera(browser: Browser, site: Site) -> None:
    """Where there are fingers, a second button takes a photo; where there is a mouse, there is but one."""
    async with visitor(browser, site.url, has_touch=True, is_mobile=True) as context:
        phone = await context.new_page()
        await phone.goto("/")
        camera = phone.get_by_label("Take a photo")
        await expect(camera).to_be_visible()
        await expect(camera).to_have_attribute("capture", "environment")
        async with answered(phone):
            await camera.set_input_files(file_of(RED_SHOES))
        assert sent(site) == RED_SHOES


async def test_a_mouse_has_no_camera(page: Page) -> None:
    """On a desktop, the button for the camera would only open the same chooser again."""
    await expect(page.get_by_label("Search with a photo")).to_be_visible()
    await expect(page.get_by_label("Take a photo")).to_be_hidden()

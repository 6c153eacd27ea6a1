"""What the browser's back button closes, and what is the same on the way back."""

from __future__ import annotations

import base64
import re

import pytest
from PIL import Image
from playwright.async_api import Page, ViewportSize, expect

from tests.gateway.http.conftest import Site
from tests.gateway.http.page.visits import (
    all_done,
    answered,
    choose_photo,
    drag_frame,
    encoded,
    hits_shown,
    search_words,
    use_part,
)

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]

PHONE: ViewportSize = {"width": 390, "height": 844}


async def test_back_gives_up_the_choice_of_a_part(page: Page, site: Site) -> None:
    """The panel goes with the photo that it is of, and the query before has no part of it."""
    await search_words(page, "red shoes")
    await choose_photo(page)
    await page.get_by_role("button", name="Choose a part").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.go_back()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.get_by_role("searchbox")).to_have_value("red shoes")
    await expect(page).to_have_url(re.compile(r"q=red\+shoes$"))
    assert len(site.search.requests) == 2


async def test_a_part_is_of_its_own_photo_alone(page: Page, site: Site) -> None:
    """What is chosen of a photo that is not in the query any more changes nothing."""
    await search_words(page, "red shoes")
    await choose_photo(page)
    await page.get_by_role("button", name="Choose a part").click()
    await drag_frame(page, (0.1, 0.1), (0.7, 0.9))
    # As when the photo is taken away and the panel is closed in one go.
    async with answered(page):
        await page.evaluate(
            """() => {
              document.querySelector(".chip .remove").click();
              document.querySelector("dialog.crop").close("use");
            }"""
        )
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await all_done(page)
    assert len(site.search.requests) == 3


async def test_back_closes_the_sheet_of_filters(page: Page) -> None:
    """On a phone the sheet goes with the hits that it filters."""
    await page.set_viewport_size(PHONE)
    await search_words(page, "red shoes")
    await search_words(page, "blue bag")
    await page.locator(".open-filters").click()
    await expect(page.get_by_role("dialog", name="Filters")).to_be_visible()
    await page.go_back()
    await expect(page.get_by_role("searchbox")).to_have_value("red shoes")
    await expect(page.get_by_role("dialog", name="Filters")).to_be_hidden()


async def test_back_closes_the_link_to_share(page: Page) -> None:
    """So does what shows a link where the browser keeps its clipboard to itself."""
    await page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    await search_words(page, "red shoes")
    await search_words(page, "blue bag")
    await page.get_by_role("button", name="Share").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.go_back()
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_a_part_is_the_same_question_on_the_way_back(page: Page, site: Site) -> None:
    """The box is searched with as precisely as the address has it, so that its hits are there at once."""
    await choose_photo(page)
    await page.get_by_role("button", name="Choose a part").click()
    await drag_frame(page, (0.1234567, 0.1), (0.7654321, 0.9))
    await use_part(page)
    box = site.search.requests[-1].parts[0].image.box
    edges = [box.left, box.top, box.right, box.bottom]
    assert edges == pytest.approx([round(edge, 3) for edge in edges], abs=1e-6)
    await search_words(page, "blue bag")
    asked = len(site.search.requests)
    await page.go_back()
    await expect(page.get_by_role("searchbox")).to_have_value("")
    await hits_shown(page)
    assert len(site.search.requests) == asked


@pytest.mark.parametrize("price", ["1e3", "0x10", "+5", "5.", ".5", "-1", "Infinity", "%205"])
async def test_prices_in_an_address_are_plain(tab: Page, site: Site, price: str) -> None:
    """What no field would take filters nothing."""
    async with answered(tab):
        await tab.goto(f"/?catalog=demo&q=shoes&min={price}&max=99.5")
    (clause,) = site.search.requests[-1].filter.all_of
    assert not clause.any_of[0].range.HasField("min")
    assert clause.any_of[0].range.max == 99.5


@pytest.mark.parametrize(
    ("encoding", "options"),
    [
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"icc_profile": b"any"}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
    ],
)
async def test_the_size_of_a_picture_is_read_from_its_head(
    tab: Page, encoding: str, options: dict[str, object]
) -> None:
    """Width and height are the picture's, whatever its encoding; its beginning alone tells none."""
    script = """async (text) => {
      const { dimensionsOf } = await import("/js/search/dimensions.js");
      const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
      return [dimensionsOf(bytes), dimensionsOf(bytes.subarray(0, 14)), dimensionsOf(bytes.subarray(9))];
    }"""
    content = encoded(Image.new("RGB", (1025, 3), "red"), encoding, **options)
    await tab.goto("/healthz")
    found = await tab.evaluate(script, base64.b64encode(content).decode())
    assert found == [{"width": 1025, "height": 3}, None, None]


@pytest.mark.parametrize(("side", "is_used"), [(1024, True), (1025, False)])
async def test_a_shared_picture_that_is_too_large_is_refused(
    tab: Page, site: Site, side: int, is_used: bool
) -> None:
    """A small file may hold a picture that fills the memory: it is not even decoded."""
    await tab.add_init_script(
        """const decode = window.createImageBitmap;
        window.decoded = 0;
        window.createImageBitmap = (...given) => {
          window.decoded += 1;
          return decode(...given);
        };"""
    )
    content = encoded(Image.new("RGB", (side, 8), "red"), "WEBP")
    fragment = base64.urlsafe_b64encode(content).decode().rstrip("=")
    await tab.goto(f"/?catalog=demo#photo={fragment}")
    if is_used:
        await hits_shown(tab)
        assert site.search.requests[-1].parts[0].image.content == content
    else:
        await expect(tab.locator(".toast")).not_to_be_empty()
        assert await tab.evaluate("window.decoded") == 0
        assert site.search.requests == []


async def test_colours_have_no_shade_by_chance(tab: Page) -> None:
    """A word that every object has is no shade."""
    await tab.goto("/healthz")
    found = await tab.evaluate(
        """async () => {
          const { colourOf } = await import("/js/results/swatches.js");
          return ["red", "red constructor", "dark red"].map(colourOf);
        }"""
    )
    assert found[0] == found[1]
    assert found[2] == f"color-mix(in srgb, {found[0]}, black 40%)"

"""Photos on their way into the query: which of several counts, and what the browser keeps of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.gateway.http.conftest import Site
from tests.gateway.http.fakes import drawn
from tests.gateway.http.page.visits import (
    RED_SHOES,
    all_done,
    answered,
    choose_photo,
    file_of,
    hold_back,
    search_words,
)

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]

BLUE_BAG = drawn("bag", "blue")

# Browsers decode a file of this kind before it is sent; here that waits until `letGo` is called.
SLOW = "image/x-slow"
HOLD_BACK = f"""() => {{
    const decode = window.createImageBitmap;
    const going = new Promise((resolve) => {{ window.letGo = resolve; }});
    window.createImageBitmap = async (blob) => {{
        if (blob.type === "{SLOW}") await going;
        return decode(new Blob([blob], {{ type: "image/png" }}));
    }};
}}"""

BUSY = "Getting your photo ready…"


async def choose_slowly(page: Page) -> None:
    """Choose a photo that is not ready until `letGo`, and wait until the page says so."""
    await page.evaluate(HOLD_BACK)
    await page.get_by_label("Search with a photo").set_input_files(file_of(RED_SHOES, "slow.png", SLOW))
    await expect(page.get_by_role("status").filter(has_text=BUSY)).to_be_visible()


async def let_go(page: Page) -> None:
    """Let the photo become ready, and wait until the page has done all that follows of itself."""
    await page.evaluate("letGo()")
    await expect(page.get_by_text(BUSY)).to_have_count(0)
    await all_done(page)


async def test_a_photo_that_takes_its_time_is_announced(page: Page, site: Site) -> None:
    """While it is made ready the page says so, also to those who cannot see it; then its hits come."""
    await choose_slowly(page)
    assert site.search.requests == []
    async with answered(page):
        await page.evaluate("letGo()")
    await expect(page.get_by_text(BUSY)).to_have_count(0)


async def test_of_two_photos_the_last_one_counts(page: Page, site: Site) -> None:
    """One that was chosen before, but is ready later, takes nothing's place."""
    await choose_slowly(page)
    await choose_photo(page, BLUE_BAG)
    await let_go(page)
    assert [one.parts[0].image.content for one in site.search.requests] == [BLUE_BAG]
    await expect(page.locator(".chip")).to_have_count(1)


async def test_who_searches_for_words_meanwhile_keeps_them(page: Page, site: Site) -> None:
    """A photo that is ready too late does not take the hits away."""
    await choose_slowly(page)
    await search_words(page, "blue bag")
    await let_go(page)
    assert [one.parts[0].text for one in site.search.requests] == ["blue bag"]
    await expect(page).to_have_url(re.compile(r"q=blue\+bag$"))


async def test_who_goes_back_meanwhile_stays_there(page: Page, site: Site) -> None:
    """The browser's back button leaves the photo behind."""
    await search_words(page, "red shoes")
    await search_words(page, "blue bag")
    await choose_slowly(page)
    await page.go_back()
    await expect(page.get_by_role("searchbox")).to_have_value("red shoes")
    await let_go(page)
    await expect(page).to_have_url(re.compile(r"q=red\+shoes$"))
    assert not any(one.parts[0].HasField("image") for one in site.search.requests)


async def test_a_file_that_is_gone_is_told(tab: Page, site: Site, tmp_path: Path) -> None:
    """One that was removed since it was chosen is refused in words, and another can be chosen."""
    known = await hold_back(tab, "**/v1/catalogs?*")
    await tab.goto("/")
    file = tmp_path / "gone.png"
    file.write_bytes(RED_SHOES)
    await tab.get_by_label("Search with a photo").set_input_files(file)
    await expect(tab.get_by_role("status").filter(has_text=BUSY)).to_be_visible()
    file.unlink()
    await (await known.first()).continue_()
    alert = tab.get_by_role("alert")
    await expect(alert).to_contain_text("gone.png cannot be read.")
    await expect(alert.get_by_role("button", name="Choose another photo")).to_be_visible()
    assert site.search.requests == []


async def test_a_photo_without_room_drives_none_away(page: Page) -> None:
    """One that is larger than all that the tab can keep leaves those before where they are."""
    await choose_photo(page)
    kept = await page.evaluate("({ ...sessionStorage })")
    photos = {name: text for name, text in kept.items() if name.startswith("photo")}
    assert len(photos) == 2
    found = await page.evaluate(
        """async () => {
          const { find, keep } = await import("/js/photos.js");
          const { id } = await keep(new Blob([new Uint8Array(16_000_000)]), "huge.png");
          return [find(id).name, { ...sessionStorage }];
        }"""
    )
    assert found[0] == "huge.png"
    assert {name: text for name, text in found[1].items() if name.startswith("photo")} == photos

"""Choosing a part of the photo."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.gateway.http.conftest import Site
from tests.gateway.http.page.visits import answered, choose_photo, drag_frame, use_part

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]

Edges = tuple[float, float, float, float]
MIDDLE: Edges = (0.15, 0.15, 0.85, 0.85)


def box(site: Site) -> Edges:
    """Left, top, right and bottom of the part that was searched with last."""
    found = site.search.requests[-1].parts[0].image.box
    left, top, right, bottom = (round(edge, 2) for edge in (found.left, found.top, found.right, found.bottom))
    return left, top, right, bottom


async def open_panel(page: Page) -> None:
    """Choose a photo and open the panel over it."""
    await choose_photo(page)
    await page.get_by_role("button", name="Choose a part").click()
    await expect(page.get_by_role("dialog", name="Which part do you mean?")).to_be_visible()


@pytest.mark.parametrize(
    ("start", "end", "edges"),
    [
        pytest.param((0.15, 0.15), (0.3, 0.4), (0.3, 0.4, 0.85, 0.85), id="a corner"),
        pytest.param((0.85, 0.85), (0.05, 0.05), (0.15, 0.15, 0.25, 0.25), id="a corner over the other"),
        pytest.param((0.5, 0.5), (0.6, 0.45), (0.25, 0.1, 0.95, 0.8), id="the frame"),
        pytest.param((0.5, 0.5), (0.9, 0.5), (0.3, 0.15, 1.0, 0.85), id="the frame over the edge"),
        pytest.param((0.05, 0.05), (0.5, 0.6), (0.05, 0.05, 0.5, 0.6), id="a new frame"),
        pytest.param((0.05, 0.05), (0.08, 0.08), MIDDLE, id="hardly a new frame"),
    ],
)
async def test_the_mouse_moves_and_resizes_the_frame(
    page: Page, site: Site, start: tuple[float, float], end: tuple[float, float], edges: Edges
) -> None:
    """Corners resize it, its inside moves it, and beside it a new one is drawn; it never leaves the photo."""
    await open_panel(page)
    await drag_frame(page, start, end)
    await use_part(page)
    assert box(site) == pytest.approx(edges, abs=0.02)


async def test_the_keyboard_moves_and_resizes_the_frame(page: Page, site: Site) -> None:
    """The frame has the focus: arrows move it, with Shift they resize it, Enter takes it."""
    await open_panel(page)
    await expect(page.get_by_role("group", name="Frame around")).to_be_focused()
    for key in ("ArrowRight", "ArrowUp", "Shift+ArrowLeft", "Shift+ArrowLeft", "Shift+ArrowDown"):
        await page.keyboard.press(key)
    async with answered(page):
        await page.keyboard.press("Enter")
    assert box(site) == (0.17, 0.13, 0.83, 0.85)
    await expect(page.get_by_role("button", name="Choose a part")).to_be_focused()


async def test_the_whole_photo_can_be_had_again(page: Page, site: Site) -> None:
    """The part is in the address and in the panel, until the whole photo is wanted."""
    await open_panel(page)
    await use_part(page)
    assert box(site) == MIDDLE
    assert "box=0.150%2C0.150%2C0.850%2C0.850" in page.url
    await page.get_by_role("button", name="Choose a part").click()
    async with answered(page):
        await page.get_by_role("button", name="Whole photo").click()
    assert not site.search.requests[-1].parts[0].image.HasField("box")
    assert "box=" not in page.url


@pytest.mark.parametrize("way", ["Escape", "Cancel"])
async def test_giving_up_changes_nothing(page: Page, site: Site, way: str) -> None:
    """Escape and Cancel close the panel without a search, and the focus is where it was."""
    await open_panel(page)
    await page.keyboard.press("ArrowRight")
    before = len(site.search.requests)
    if way == "Escape":
        await page.keyboard.press("Escape")
    else:
        await page.get_by_role("button", name="Cancel").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.get_by_role("button", name="Choose a part")).to_be_focused()
    assert len(site.search.requests) == before


async def test_the_chip_shows_the_part(page: Page) -> None:
    """The small picture has the shape of what is searched with: of a tall photo a flat part."""
    thumb = page.locator(".chip canvas")
    shape = "node => node.width / node.height"
    await choose_photo(page)
    await expect(page.get_by_role("button", name="Choose a part")).to_be_visible()
    assert await thumb.evaluate(shape) == pytest.approx(0.8, abs=0.02)
    await page.get_by_role("button", name="Choose a part").click()
    await drag_frame(page, (0.02, 0.02), (0.98, 0.4))
    await use_part(page)
    await page.wait_for_function(
        "() => { const { width, height } = document.querySelector('.chip canvas'); return width > height; }"
    )
    assert await thumb.evaluate(shape) == pytest.approx(0.8 * 0.96 / 0.38, abs=0.1)


async def test_a_hint_is_given_until_the_panel_is_known(page: Page) -> None:
    """Beside the first photo a sentence says what the panel is for; whoever has seen it needs none."""
    hint = page.get_by_text("Several things in the photo?")
    await choose_photo(page)
    await expect(hint).to_be_visible()
    await page.get_by_role("button", name="Choose a part").click()
    await page.keyboard.press("Escape")
    await expect(hint).to_be_hidden()
    await page.reload()
    await expect(page.locator(".chip")).to_be_visible()
    await expect(hint).to_be_hidden()


async def test_another_photo_starts_whole(page: Page, site: Site) -> None:
    """A part belongs to its photo."""
    await open_panel(page)
    await use_part(page)
    await choose_photo(page, name="other.png")
    assert not site.search.requests[-1].parts[0].image.HasField("box")


async def test_new_words_keep_the_part(page: Page, site: Site) -> None:
    """Words that are added to a part of a photo are searched for with that part."""
    await open_panel(page)
    await use_part(page)
    async with answered(page):
        await page.get_by_role("searchbox").fill("green")
        await page.keyboard.press("Enter")
    assert box(site) == MIDDLE

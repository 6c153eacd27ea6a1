"""Choosing a part of the photo."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser import visitor
from tests.gateway.http.conftest import Site
from tests.gateway.http.page.visits import answered, choose_photo, drag_frame, use_part

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]

Place = tuple[float, float]
Edges = tuple[float, float, float, float]
MIDDLE: Edges = (0.15, 0.15, 0.85, 0.85)

# What becomes of MIDDLE by a drag from one place to another.
MOVES: dict[str, tuple[Place, Place, Edges]] = {
    "the left edge": ((0.15, 0.5), (0.3, 0.9), (0.3, 0.15, 0.85, 0.85)),
    "the right edge": ((0.85, 0.3), (0.95, 0.3), (0.15, 0.15, 0.95, 0.85)),
    "the upper edge": ((0.6, 0.15), (0.1, 0.05), (0.15, 0.05, 0.85, 0.85)),
    "the lower edge over the other": ((0.5, 0.85), (0.5, 0.05), (0.15, 0.15, 0.85, 0.25)),
    "a corner": ((0.15, 0.15), (0.3, 0.4), (0.3, 0.4, 0.85, 0.85)),
    "a corner over the other": ((0.85, 0.85), (0.05, 0.05), (0.15, 0.15, 0.25, 0.25)),
    "the frame": ((0.5, 0.5), (0.6, 0.45), (0.25, 0.1, 0.95, 0.8)),
    "the frame over the edge": ((0.5, 0.5), (0.9, 0.5), (0.3, 0.15, 1.0, 0.85)),
    "a new frame": ((0.05, 0.05), (0.5, 0.6), (0.05, 0.05, 0.5, 0.6)),
    "hardly a new frame": ((0.05, 0.05), (0.08, 0.08), MIDDLE),
}

# The edges of the frame that is seen.
FRAMED = """() => {
    const edgesOf = (name) => document.querySelector(name).getBoundingClientRect();
    const [frame, stage] = [edgesOf(".frame"), edgesOf(".stage")];
    const [across, down] = [(x) => (x - stage.left) / stage.width, (y) => (y - stage.top) / stage.height];
    return [across(frame.left), down(frame.top), across(frame.right), down(frame.bottom)];
}"""


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


async def frame_middle(page: Page) -> None:
    """Open the panel over a photo and frame its middle."""
    await open_panel(page)
    await drag_frame(page, MIDDLE[:2], MIDDLE[2:])


async def test_all_of_the_photo_is_framed_at_first(page: Page, site: Site) -> None:
    """To use that is to use no part."""
    await open_panel(page)
    await page.wait_for_function("document.querySelector('.stage img').naturalWidth > 0")
    stage, frame = [await page.locator(one).bounding_box() for one in (".stage", ".frame")]
    assert stage == frame
    await page.get_by_role("button", name="Use this part").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    assert not site.search.requests[-1].parts[0].image.HasField("box")
    assert "box=" not in page.url


@pytest.mark.parametrize(
    ("start", "end", "edges"),
    [
        pytest.param((0.2, 0.2), (0.6, 0.7), (0.2, 0.2, 0.6, 0.7), id="a new frame"),
        pytest.param((0.7, 0.6), (0.3, 0.1), (0.3, 0.1, 0.7, 0.6), id="a new frame, backwards"),
        pytest.param((0.0, 0.5), (0.4, 0.9), (0.4, 0.0, 1.0, 1.0), id="an edge"),
        pytest.param((1.0, 1.0), (0.6, 0.7), (0.0, 0.0, 0.6, 0.7), id="a corner"),
    ],
)
async def test_a_frame_around_all_is_no_hindrance(
    page: Page, site: Site, start: Place, end: Place, edges: Edges
) -> None:
    """What is drawn inside it is a new frame; its edges and corners can be taken hold of."""
    await open_panel(page)
    await drag_frame(page, start, end)
    await use_part(page)
    assert box(site) == pytest.approx(edges, abs=0.02)


async def test_the_mouse_moves_and_resizes_the_frame(page: Page) -> None:
    """Edges and corners resize it, its inside moves it, beside it a new one is drawn."""
    await frame_middle(page)
    await use_part(page)
    for name, (start, end, edges) in MOVES.items():
        await page.get_by_role("button", name="Choose a part").click()
        await drag_frame(page, start, end)
        assert await page.evaluate(FRAMED) == pytest.approx(edges, abs=0.02), name
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_the_keyboard_moves_and_resizes_the_frame(page: Page, site: Site) -> None:
    """The frame has the focus: arrows move it, with Shift they resize it, Enter takes it."""
    await open_panel(page)
    await expect(page.get_by_role("group", name="Frame around")).to_be_focused()
    for key in ["Shift+ArrowLeft"] * 10 + ["Shift+ArrowUp"] * 5 + ["ArrowRight"] * 3 + ["ArrowDown"] * 2:
        await page.keyboard.press(key)
    for key in ("ArrowLeft", "ArrowUp", "Shift+ArrowRight", "Shift+ArrowDown"):
        await page.keyboard.press(key)
    async with answered(page):
        await page.keyboard.press("Enter")
    assert box(site) == (0.04, 0.02, 0.86, 0.94)
    await expect(page.get_by_role("button", name="Choose a part")).to_be_focused()


async def test_a_finger_draws_and_stretches_the_frame(browser: Browser, site: Site) -> None:
    """On a phone the page does not scroll away under it; whoever misses an edge a little still holds it."""
    viewport = {"width": 390, "height": 844}
    async with visitor(browser, site.url, has_touch=True, is_mobile=True, viewport=viewport) as context:
        phone = await context.new_page()
        await phone.goto("/")
        await open_panel(phone)
        await touch(phone, (0.2, 0.2), (0.6, 0.6))
        area = await phone.locator(".stage").bounding_box()
        assert area is not None
        await touch(phone, (0.6 + 11 / area["width"], 0.4), (0.8 + 11 / area["width"], 0.4))
        await use_part(phone)
    assert box(site) == pytest.approx((0.2, 0.2, 0.84, 0.6), abs=0.05)


async def touch(page: Page, start: Place, end: Place) -> None:
    """In the panel over a photo, draw a finger from one place of it to another, both in fractions."""
    await page.wait_for_function("document.querySelector('.stage img').naturalWidth > 0")
    area = await page.locator(".stage").bounding_box()
    assert area is not None
    finger = await page.context.new_cdp_session(page)
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    for kind, place in (("touchStart", start), ("touchMove", middle), ("touchMove", end)):
        point = {"x": area["x"] + place[0] * area["width"], "y": area["y"] + place[1] * area["height"]}
        await finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    await finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    await finger.detach()


async def test_the_whole_photo_can_be_had_again(page: Page, site: Site) -> None:
    """The part is in the address and in the panel, until the whole photo is wanted."""
    await frame_middle(page)
    await use_part(page)
    assert box(site) == pytest.approx(MIDDLE, abs=0.02)
    assert "box=0.1" in page.url
    await page.get_by_role("button", name="Choose a part").click()
    async with answered(page):
        await page.get_by_role("button", name="Whole photo").click()
    assert not site.search.requests[-1].parts[0].image.HasField("box")
    assert "box=" not in page.url


@pytest.mark.parametrize("way", ["Escape", "Cancel"])
async def test_giving_up_changes_nothing(page: Page, site: Site, way: str) -> None:
    """Escape and Cancel close the panel without a search, and the focus is where it was."""
    await open_panel(page)
    await page.keyboard.press("Shift+ArrowLeft")
    before = len(site.search.requests)
    if way == "Escape":
        await page.keyboard.press("Escape")
    else:
        await page.get_by_role("button", name="Cancel").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.get_by_role("button", name="Choose a part")).to_be_focused()
    assert len(site.search.requests) == before


async def test_the_chip_shows_the_part(page: Page) -> None:
    """The small pictures have the shape of what is searched with: of a tall photo a flat part."""
    thumb, glimpse = page.locator(".chip canvas"), page.locator(".glimpse canvas")
    shape = "node => node.width / node.height"
    await choose_photo(page)
    # It can be pressed once the picture is drawn.
    await expect(page.get_by_role("button", name="Choose a part")).to_be_enabled()
    assert await thumb.evaluate(shape) == pytest.approx(0.8, abs=0.02)
    await page.get_by_role("button", name="Choose a part").click()
    await drag_frame(page, (0.1, 0.1), (0.9, 0.4))
    await use_part(page)
    await page.wait_for_function(
        "() => [...document.querySelectorAll('.thumb canvas')].every((one) => one.width > one.height)"
    )
    for one in (thumb, glimpse):
        assert await one.evaluate(shape) == pytest.approx(0.8 * 0.8 / 0.3, abs=0.1)


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
    await frame_middle(page)
    await use_part(page)
    await choose_photo(page, name="other.png")
    assert not site.search.requests[-1].parts[0].image.HasField("box")


async def test_new_words_keep_the_part(page: Page, site: Site) -> None:
    """Words that are added to a part of a photo are searched for with that part."""
    await frame_middle(page)
    await use_part(page)
    async with answered(page):
        await page.get_by_role("searchbox").fill("green")
        await page.keyboard.press("Enter")
    assert box(site) == pytest.approx(MIDDLE, abs=0.02)

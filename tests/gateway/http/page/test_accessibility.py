"""axe finds nothing serious in any view of the page, in either colour scheme, on a desktop or a phone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from services.mesh.errors import Unavailable
from tests.browser import visitor
from tests.gateway.http.conftest import Site
from tests.gateway.http.page.visits import CONSOLE_VIEWS, choose_photo, search_words

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]

SCREENS: dict[str, tuple[Literal["light", "dark"], int, int]] = {
    "light desktop": ("light", 1280, 900),
    "dark phone": ("dark", 390, 844),
}
GRAVE = {"serious", "critical"}


@pytest_asyncio.fixture(loop_scope="package", params=SCREENS)
async def screen(request: pytest.FixtureRequest, browser: Browser, site: Site) -> AsyncIterator[Page]:
    """A page on each kind of screen; nothing moves on it, so that no colour is measured on its way."""
    scheme, width, height = SCREENS[request.param]
    viewport = {"width": width, "height": height}
    async with visitor(
        browser, site.url, color_scheme=scheme, viewport=viewport, reduced_motion="reduce"
    ) as context:
        yield await context.new_page()


async def expect_accessible(page: Page) -> None:
    """Fail with what axe finds that is serious or worse."""
    found = await Axe().run(page)
    grave: list[Any] = [
        (rule["id"], [node["html"][:200] for node in rule["nodes"]])
        for rule in found.response["violations"]
        if rule["impact"] in GRAVE
    ]
    assert grave == []


async def test_the_first_look_is_accessible(screen: Page) -> None:
    """The welcome with its examples and its shelf."""
    await screen.goto("/")
    await expect(screen.locator("#welcome img").first).to_be_visible()
    await expect_accessible(screen)


async def test_hits_and_filters_are_accessible(screen: Page) -> None:
    """The grid, with filters set and a product that is wanted."""
    await screen.goto("/?catalog=demo&q=red+shoes&gender=Women&like=bag-red-men")
    await expect(screen.locator(".hit img").first).to_be_visible()
    await expect_accessible(screen)


async def test_the_panels_are_accessible(screen: Page) -> None:
    """Why a hit was found, and the choice of a part of a photo."""
    await screen.goto("/")
    await choose_photo(screen)
    await screen.get_by_role("button", name="Why").first.click()
    await expect(screen.get_by_role("dialog")).to_be_visible()
    await expect_accessible(screen)
    await screen.keyboard.press("Escape")
    await screen.get_by_role("button", name="Choose a part").click()
    await expect(screen.get_by_role("dialog")).to_be_visible()
    await expect_accessible(screen)


async def test_a_product_is_accessible(screen: Page) -> None:
    """A product with its photos and what is similar to it."""
    await screen.goto("/?catalog=demo&item=shoes-red-women")
    await expect(screen.locator("#product img").nth(1)).to_be_visible()
    await expect_accessible(screen)


async def test_what_went_wrong_is_accessible(screen: Page, site: Site) -> None:
    """An error with its remedies, and an answer without hits."""
    await screen.goto("/")
    site.search.error = Unavailable("no shard answered")
    await screen.get_by_role("searchbox").fill("red shoes")
    await screen.keyboard.press("Enter")
    await expect(screen.get_by_role("alert")).to_be_visible()
    await expect_accessible(screen)
    site.search.error = None
    await search_words(screen, "red shoes")
    await screen.goto("/?catalog=demo&q=shoes&min=100000")
    await expect(screen.get_by_role("status").first).not_to_be_empty()
    await expect_accessible(screen)


@pytest.mark.parametrize("view", CONSOLE_VIEWS)
async def test_the_console_is_accessible(screen: Page, view: str) -> None:
    """Every view of the console."""
    await screen.goto(f"/console/?catalog=demo#{view}")
    await expect(screen.locator(CONSOLE_VIEWS[view]).first).to_be_visible()
    await expect_accessible(screen)

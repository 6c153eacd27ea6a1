from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]

PAPER = {"light": "rgb(247, 244, 238)", "dark": "rgb(23, 22, 20)"}
BAR = {"light": "#f7f4ee", "dark": "#171614"}


async def bars(page: Page) -> list[str]:
    """What colours the browser's own bar has, where the system is light and where it is dark."""
    return [
        await one.get_attribute("content") or "" for one in await page.locator("meta[name=theme-color]").all()
    ]


async def test_the_button_switches_the_scheme(page: Page) -> None:
    """It says what a click does; the choice is kept, for the browser's bar too, until it is the system's."""
    button, root = page.locator("#theme"), page.locator("body")
    await expect(button).to_have_accessible_name("Switch to dark colours")
    await expect(root).to_have_css("background-color", PAPER["light"])
    assert await bars(page) == [BAR["light"], BAR["dark"]]
    await button.press("Enter")
    await expect(button).to_have_accessible_name("Switch to light colours")
    await expect(root).to_have_css("background-color", PAPER["dark"])
    assert await bars(page) == [BAR["dark"], BAR["dark"]]
    await page.reload()
    await expect(button).to_have_accessible_name("Switch to light colours")
    await expect(root).to_have_css("background-color", PAPER["dark"])
    assert await bars(page) == [BAR["dark"], BAR["dark"]]
    await button.click()
    await expect(button).to_have_accessible_name("Switch to dark colours")
    await expect(root).to_have_css("background-color", PAPER["light"])
    assert await bars(page) == [BAR["light"], BAR["dark"]]
    assert await page.evaluate("localStorage.getItem('theme')") is None


async def test_in_the_dark_the_button_leads_to_light(page: Page) -> None:
    """Where the system is dark, light is the choice that is kept."""
    await page.emulate_media(color_scheme="dark")
    button, root = page.locator("#theme"), page.locator("body")
    await expect(button).to_have_accessible_name("Switch to light colours")
    await button.click()
    await expect(root).to_have_css("background-color", PAPER["light"])
    assert await page.evaluate("localStorage.getItem('theme')") == "light"
    await button.click()
    await expect(root).to_have_css("background-color", PAPER["dark"])
    assert await page.evaluate("localStorage.getItem('theme')") is None


async def test_the_systems_scheme_is_followed(page: Page) -> None:
    """Without a choice the page turns dark when the system does."""
    await expect(page.locator("body")).to_have_css("background-color", PAPER["light"])
    await page.emulate_media(color_scheme="dark")
    await expect(page.locator("body")).to_have_css("background-color", PAPER["dark"])


async def test_the_choice_holds_before_the_page_works(page: Page) -> None:
    """The scheme is there before any module has come, so that nothing flashes."""
    await page.evaluate("localStorage.setItem('theme', 'dark')")
    await page.route("**/js/app.js", lambda route: route.abort())
    await page.reload()
    await expect(page.locator("body")).to_have_css("background-color", PAPER["dark"])


async def test_the_choice_holds_everywhere(page: Page) -> None:
    """Other tabs follow at once, and the console and the API's page have it as well."""
    other = await page.context.new_page()
    await other.goto("/")
    await expect(other.locator("#theme svg")).to_be_visible()
    for name in ("light", "dark", "light"):
        await page.locator("#theme").click()
        await expect(other.locator("#theme")).to_have_accessible_name(f"Switch to {name} colours")
    await expect(other.locator("body")).to_have_css("background-color", PAPER["dark"])
    for path in ("/console/", "/docs/"):
        await other.goto(path)
        await expect(other.locator("body")).to_have_css("background-color", PAPER["dark"])
    await other.close()

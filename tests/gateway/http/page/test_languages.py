from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser import visitor
from tests.gateway.http.conftest import Site
from tests.gateway.http.page.visits import search_words

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]

PRODUCT = "/?catalog=demo&item=shoes-red-men"


@contextlib.asynccontextmanager
async def visit(browser: Browser, site: Site, locale: str, path: str = PRODUCT) -> AsyncIterator[Page]:
    """The page in a browser of that language."""
    async with visitor(browser, site.url, locale=locale) as context:
        page = await context.new_page()
        await page.goto(path)
        await expect(page.locator("#language option")).not_to_have_count(0)
        yield page


@pytest.mark.parametrize(
    ("locale", "language", "back", "price"),
    [
        ("en-GB", "en", "Start", "11.50"),
        ("de-DE", "de", "Zur Startseite", "11,50"),
        ("de-CH", "de", "Zur Startseite", "11.50"),
        ("fr-FR", "fr", "Accueil", "11,50"),
        ("pt-BR", "en", "Start", "11.50"),
    ],
)
async def test_the_browsers_language_is_spoken(
    browser: Browser, site: Site, locale: str, language: str, back: str, price: str
) -> None:
    """Texts are in its language, or in English where there are none; numbers as its region writes them."""
    async with visit(browser, site, locale) as page:
        await expect(page.locator("html")).to_have_attribute("lang", language)
        await expect(page.get_by_role("button", name=back, exact=True)).to_be_visible()
        await expect(page.locator("#product .known > .price")).to_have_text(price)
        await expect(page.locator("#language")).to_have_value(language)


async def test_another_language_can_be_chosen(page: Page) -> None:
    """The page stays where it is, and the choice holds for later visits and for the console."""
    await search_words(page, "red shoes")
    await page.get_by_label("Language").select_option("de")
    await expect(page.locator("html")).to_have_attribute("lang", "de")
    await expect(page.get_by_role("searchbox")).to_have_value("red shoes")
    await expect(page.locator(".hit .badge").first).to_have_text("90 hoch")
    await page.goto("/console/")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Konsole")
    await page.get_by_label("Sprache").select_option("fr")
    await expect(page.locator("html")).to_have_attribute("lang", "fr")
    await page.goto("/")
    await expect(page.locator("html")).to_have_attribute("lang", "fr")


@pytest.mark.parametrize(("locale", "word"), [("de-DE", "englisch"), ("fr-FR", "anglais")])
async def test_words_are_asked_for_in_english(browser: Browser, site: Site, locale: str, word: str) -> None:
    """Where the page speaks another language the field and the welcome say so, also on a phone."""
    async with visit(browser, site, locale, "/?catalog=demo") as page:
        await page.set_viewport_size({"width": 390, "height": 844})
        field = page.get_by_role("searchbox")
        placeholder = await field.get_attribute("placeholder") or ""
        assert word in placeholder.lower()
        await expect(page.locator(".pitch p")).to_contain_text(word)
        # A text as wide as the placeholder is not cut off.
        await field.fill(placeholder)
        assert await field.evaluate("(field) => field.scrollWidth <= field.clientWidth")


async def test_a_kept_language_that_there_is_not_is_ignored(page: Page) -> None:
    """What an older page has kept cannot leave this one without words."""
    await page.evaluate("localStorage.setItem('language', 'constructor')")
    await page.reload()
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    await search_words(page, "red shoes")


@pytest.mark.parametrize("locale", ["de-DE", "fr-FR"])
async def test_longer_words_fit_a_phone(browser: Browser, site: Site, locale: str) -> None:
    """In no language is anything wider than a narrow screen."""
    async with visit(browser, site, locale, f"{PRODUCT}&q=red+shoes") as page:
        await page.set_viewport_size({"width": 360, "height": 740})
        await expect(page.locator(".similar a")).to_have_count(12)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
        await page.locator(".way-back").click()
        await expect(page.locator(".hit h3").first).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360

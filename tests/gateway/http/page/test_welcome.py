"""Before the first search."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser import visitor
from tests.gateway.http.conftest import Site
from tests.gateway.http.page.visits import RED_SHOES, all_done, answered, file_of, hits_shown, hold_until

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]


async def test_examples_start_a_search(page: Page, site: Site) -> None:
    """Words that the catalogue has something for are one click away."""
    example = page.get_by_role("list", name="Searches to try").get_by_role("button").first
    words = await example.inner_text()
    await example.click()
    await hits_shown(page)
    assert [part.text for part in site.search.requests[-1].parts] == [words]
    await expect(page.get_by_role("searchbox")).to_have_value(words)


async def test_the_shelf_shows_products_to_start_from(page: Page) -> None:
    """A product of the shelf is opened, and the way back leads to the shelf."""
    shelf = page.get_by_role("region", name="Or start from something in the shop")
    await expect(shelf.get_by_role("button")).to_have_count(12)
    titles = await shelf.get_by_role("button").all_inner_texts()
    assert len(set(titles)) == 12
    await shelf.get_by_role("button").first.click()
    await expect(page.locator("#product h1")).to_have_text(titles[0])
    await page.go_back()
    await expect(shelf).to_be_visible()


async def test_what_to_start_from_is_of_all_kinds(page: Page) -> None:
    """Shelf and fan show products of all categories in turns, and not the same ones; examples name them."""
    await expect(page.locator("#shelf button")).to_have_count(12)
    titles = await page.locator("#shelf button").all_inner_texts()
    kinds = [re.findall(r"shoes|shirt|bag|dress", title)[0] for title in titles]
    assert [set(kinds[start : start + 4]) for start in (0, 4, 8)] == [{"shoes", "shirt", "bag", "dress"}] * 3
    assert len({title.split(" for ")[0] for title in titles}) == 12
    sources = "nodes => nodes.map((node) => node.getAttribute('src'))"
    fan = await page.locator(".fan img").evaluate_all(sources)
    assert len(set(fan)) == 3
    assert not set(fan) & set(await page.locator("#shelf img").evaluate_all(sources))
    examples = await page.locator("#examples").get_by_role("button").all_inner_texts()
    assert {words.split()[-1] for words in examples} == {"footwear", "topwear", "bags", "dresses"}


async def test_common_kinds_come_first_and_none_twice(tab: Page) -> None:
    """However many products of a kind there are, each category has its turn; models stand in for the shop."""
    await tab.goto("/healthz")
    shelf, fan, examples = await tab.evaluate(
        """async () => {
            const { assorted } = await import("/js/variety.js");
            const { examplesOf } = await import("/js/catalogue.js");
            const text = (...values) => ({ values: values.map((text) => ({ text })) });
            const made = (category, type, count) =>
                Array.from({ length: count }, (_, place) => ({
                    name: `${type}${place}`,
                    attributes: { ...(category ? { category: text(category) } : {}), type: text(type) },
                    labels: category ? [] : [{ name: "category", value: "Watches" }],
                }));
            const sample = [
                ...made("Innerwear", "briefs", 5), ...made("Innerwear", "vests", 3),
                ...made("Topwear", "shirts", 9), ...made("Topwear", "tops", 2), ...made("", "watches", 1),
            ];
            const names = (count) => assorted(sample, count).map((product) => product.name);
            return [names(6), names(3), examplesOf(sample)];
        }"""
    )
    assert shelf == ["shirts0", "briefs0", "watches0", "shirts5", "briefs4", "tops1"]
    assert fan == ["shirts0", "briefs0", "watches0"]
    assert examples == ["shirts", "briefs", "watches", "tops"]


async def test_the_large_target_opens_the_chooser(page: Page, site: Site) -> None:
    """Where a photo can be dropped it can be chosen as well."""
    async with page.expect_file_chooser() as opened:
        await page.get_by_role("button", name="Drop a photo here").click()
    chooser = await opened.value
    async with answered(page):
        await chooser.set_files(file_of(RED_SHOES))
    assert site.search.requests[-1].parts[0].image.content == RED_SHOES


async def test_room_is_kept_for_what_comes(tab: Page) -> None:
    """Until the products are there, what stands in their place takes as much room as they do."""
    height = "node => node.offsetHeight"
    known = await hold_until(tab, re.compile(r"/products\?"))
    await tab.goto("/")
    await expect(tab.locator("#shelf .waiting").first).to_be_visible()
    before = [await tab.locator(one).evaluate(height) for one in (".hero", "#shelf")]
    known.set()
    await expect(tab.locator("#shelf button").first).to_be_visible()
    after = [await tab.locator(one).evaluate(height) for one in (".hero", "#shelf")]
    assert before == pytest.approx(after, abs=4)


async def test_an_empty_catalogue_says_so(tab: Page) -> None:
    """Whoever has nothing to search through is shown the way to the import."""
    await tab.goto("/?catalog=other")
    await expect(tab.get_by_role("heading", name="This catalogue is still empty")).to_be_visible()
    link = tab.get_by_role("link", name="Import products in the console")
    await expect(link).to_have_attribute("href", "/console/?catalog=other#import")


async def test_a_catalogue_that_cannot_be_listed_is_not_called_empty(tab: Page) -> None:
    """Products may be searched and not be listed: then there is no shelf, and nothing wrong is said."""
    await tab.route(re.compile(r"/products\?"), lambda route: route.fulfill(status=403))
    await tab.goto("/")
    await expect(tab.get_by_role("heading", level=1)).to_be_visible()
    await expect(tab.get_by_role("region", name="Or start from")).to_be_hidden()
    await all_done(tab)
    await expect(tab.get_by_text("still empty")).to_have_count(0)


async def test_another_catalogue_has_its_own_welcome(page: Page) -> None:
    """The shelf is that of the catalogue which is chosen."""
    await expect(page.locator("#shelf button").first).to_be_visible()
    await page.get_by_label("Catalogue").select_option("other")
    await expect(page.get_by_role("heading", name="This catalogue is still empty")).to_be_visible()
    await page.get_by_label("Catalogue").select_option("demo")
    await expect(page.locator("#shelf button").first).to_be_visible()


@pytest.mark.parametrize(
    ("locale", "title"),
    [("de-DE", "Finden, was ähnlich aussieht"), ("fr-FR", "Vous l’avez vu\u202f? Trouvez-le.")],
)
async def test_the_welcome_speaks_the_visitors_language(
    browser: Browser, site: Site, locale: str, title: str
) -> None:
    """The first thing that people read is in their language, and fits a small phone."""
    viewport = {"width": 320, "height": 640}
    async with visitor(browser, site.url, locale=locale, viewport=viewport) as context:
        phone = await context.new_page()
        await phone.goto("/")
        await expect(phone.get_by_role("heading", level=1)).to_have_text(title)
        await expect(phone.locator("#shelf button").first).to_be_visible()
        assert await phone.evaluate("document.documentElement.scrollWidth") <= 320

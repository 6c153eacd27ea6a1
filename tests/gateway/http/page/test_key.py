from __future__ import annotations

import pytest
from playwright.async_api import Locator, Page, expect

from services.mesh.errors import PermissionDenied
from tests.gateway.http.conftest import Site
from tests.gateway.http.page.visits import search_words

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]

SECRET = "vk_s3cret"


async def asked_for_key(page: Page, site: Site, path: str = "/") -> Locator:
    """Come to a page of a shop that answers only with a key."""
    site.flows.access.gatekeeper.secret = SECRET
    await page.goto(path)
    return page.get_by_role("dialog", name="A key is needed")


async def give(dialog: Locator, key: str) -> None:
    await dialog.get_by_label("API key").fill(key)
    await dialog.get_by_role("button", name="Use it").click()


async def test_a_key_opens_the_shop(tab: Page, site: Site) -> None:
    """The visitor is asked once, with the focus in the field; then all works, also after a reload."""
    dialog = await asked_for_key(tab, site)
    await expect(dialog).to_contain_text("This shop answers only to those who have a key.")
    await expect(dialog.get_by_label("API key")).to_be_focused()
    await tab.keyboard.type(f"  {SECRET} ")
    await tab.keyboard.press("Enter")
    await expect(dialog).to_have_count(0)
    await search_words(tab, "red shoes")
    await tab.reload()
    await expect(tab.locator(".hit").first).to_be_visible()
    await expect(dialog).to_have_count(0)


async def test_a_key_is_kept_in_the_tab_alone(tab: Page, site: Site) -> None:
    """It is neither in an address nor where the browser keeps things for good, and another tab has none."""
    addresses: list[str] = []
    tab.on("request", lambda request: addresses.append(request.url))
    await give(await asked_for_key(tab, site), SECRET)
    await search_words(tab, "red shoes")
    await tab.get_by_role("link", name="Red shoes for men", exact=True).click()
    await expect(tab.locator(".similar a").first).to_be_visible()
    assert not [one for one in [*addresses, tab.url] if SECRET in one]
    kept = await tab.evaluate(
        "[JSON.stringify({...localStorage}), document.cookie, JSON.stringify(history.state)].join()"
    )
    assert SECRET not in kept
    other = await tab.context.new_page()
    await other.goto("/")
    await expect(other.get_by_role("dialog", name="A key is needed")).to_be_visible()
    await other.close()


async def test_a_wrong_key_is_told(tab: Page, site: Site) -> None:
    """The page asks again and says why, until there is a right one."""
    dialog = await asked_for_key(tab, site)
    await give(dialog, "wrong")
    await expect(dialog).to_contain_text("This key is not valid, or no longer valid.")
    await expect(dialog.get_by_label("API key")).to_have_attribute("aria-invalid", "true")
    await give(dialog, SECRET)
    await expect(dialog).to_have_count(0)
    await search_words(tab, "red shoes")


async def test_what_cannot_be_a_key_is_not_tried(tab: Page, site: Site) -> None:
    """Letters that no request can carry are refused in the field."""
    dialog = await asked_for_key(tab, site)
    await expect(dialog).to_be_visible()
    tried = len(site.flows.access.gatekeeper.peers)
    await give(dialog, "schlüssel")
    await expect(dialog.locator("input:invalid")).to_be_visible()
    assert len(site.flows.access.gatekeeper.peers) == tried


async def test_without_a_key_the_page_says_so(tab: Page, site: Site) -> None:
    """Whoever gives none is told, and can try again."""
    dialog = await asked_for_key(tab, site)
    await expect(dialog).to_be_visible()
    await tab.keyboard.press("Escape")
    await expect(tab.get_by_role("alert")).to_contain_text("A key is needed")
    await tab.get_by_role("button", name="Try again").click()
    await give(dialog, SECRET)
    await search_words(tab, "red shoes")


async def test_a_key_that_ends_is_asked_for_anew(tab: Page, site: Site) -> None:
    """A search that is refused goes on by itself with the next key."""
    await give(await asked_for_key(tab, site), SECRET)
    await search_words(tab, "red shoes")
    site.flows.access.gatekeeper.secret = "vk_next"
    await tab.get_by_role("searchbox").fill("blue bag")
    await tab.keyboard.press("Enter")
    dialog = tab.get_by_role("dialog", name="A key is needed")
    await expect(dialog).to_contain_text("no longer valid")
    await give(dialog, "vk_next")
    await expect(tab.locator(".hit h3").first).to_have_text("Blue bag for men")


async def test_a_key_can_be_forgotten(page: Page, site: Site) -> None:
    """The button is there with a key alone, from the moment it is given, and the page asks anew."""
    forget = page.get_by_role("button", name="Forget the key")
    await expect(forget).to_have_count(0)
    dialog = await asked_for_key(page, site)
    await give(dialog, SECRET)
    await forget.click()
    await expect(dialog).to_be_visible()
    assert await page.evaluate("sessionStorage.getItem('key')") is None


async def test_a_key_without_the_right_to_the_console_is_told(tab: Page, site: Site) -> None:
    """The console says what is missing rather than ask for the key once more."""
    site.flows.access.gatekeeper.error = PermissionDenied("needs the scope admin", reason="SCOPE_MISSING")
    await tab.goto("/console/")
    await expect(tab.get_by_role("alert").filter(has_text="Your key does not allow this")).to_be_visible()
    await expect(tab.get_by_role("dialog")).to_have_count(0)


async def test_a_browser_that_keeps_nothing_still_takes_a_key(tab: Page, site: Site) -> None:
    """Where storage is forbidden the key holds until the page is left."""
    await tab.add_init_script(
        "for (const name of ['getItem', 'setItem', 'removeItem']) "
        "Storage.prototype[name] = () => { throw new DOMException('forbidden', 'SecurityError'); };"
    )
    await give(await asked_for_key(tab, site), SECRET)
    await search_words(tab, "red shoes")

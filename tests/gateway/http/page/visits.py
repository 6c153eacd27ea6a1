"""What visitors do on the page: steps that several tests take."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import re
from collections import UserList
from collections.abc import AsyncIterator
from typing import Any

from PIL import Image
from playwright.async_api import FilePayload, JSHandle, Page, Route, expect

from tests.browser import WAIT_MS
from tests.gateway.http.fakes import drawn

RED_SHOES = drawn("shoes", "red")

# The views of the console, each with what it has as soon as all is there.
CONSOLE_VIEWS = {
    "overview": "#generations",
    "queries": ".queries-sum > *",
    "import": ".import-drop",
    "duplicates": ".alike-heading",
    "models": "article",
}

# A file as it is dragged or copied, of a name, a type and a content in base64.
_TRANSFER = """([name, type, content]) => {
    const transfer = new DataTransfer();
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type }));
    return transfer;
}"""
_PASTE = """(transfer) => document.activeElement.dispatchEvent(
    new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true }))"""


def file_of(content: bytes, name: str = "mine.png", kind: str = "image/png") -> FilePayload:
    """A file as the browser's file chooser hands it over."""
    return {"name": name, "mimeType": kind, "buffer": content}


def encoded(image: Image.Image, encoding: str = "PNG", **options: Any) -> bytes:
    """An image as the content of a file."""
    out = io.BytesIO()
    image.save(out, encoding, **options)
    return out.getvalue()


async def hits_shown(page: Page) -> None:
    """Wait for the hits of the present query."""
    await expect(page.locator("#grid:not(.stale) .hit h3").first).to_be_visible()


async def titles(page: Page) -> list[str]:
    """The titles of the hits that are shown, in their order."""
    return await page.locator(".hit h3").all_inner_texts()


@contextlib.asynccontextmanager
async def answered(page: Page) -> AsyncIterator[None]:
    """A block that asks for hits; after it they have come."""
    async with page.expect_response("**:search"):
        yield
    await hits_shown(page)


async def follow(page: Page, link: str) -> None:
    """Open a link to a search and wait for the hits."""
    await page.goto(link)
    await hits_shown(page)


async def search_words(page: Page, words: str) -> None:
    """Type words, send them with Enter and wait for the hits."""
    await page.get_by_role("searchbox").fill(words)
    await page.keyboard.press("Enter")
    await hits_shown(page)


async def choose_photo(page: Page, content: bytes = RED_SHOES, name: str = "mine.png") -> None:
    """Choose a photo and wait for the hits."""
    async with answered(page):
        await page.get_by_label("Search with a photo").set_input_files(file_of(content, name))


async def transfer_of(page: Page, content: bytes, name: str, kind: str) -> JSHandle:
    """What the browser has in hand while a file is dragged or pasted."""
    return await page.evaluate_handle(_TRANSFER, [name, kind, base64.b64encode(content).decode()])


async def drop_photo(page: Page, content: bytes = RED_SHOES, name: str = "dropped.png") -> None:
    """Drop a photo somewhere on the page and wait for the hits."""
    transfer = await transfer_of(page, content, name, "image/png")
    async with answered(page):
        await page.dispatch_event("body", "dragenter", {"dataTransfer": transfer})
        await page.dispatch_event("body", "drop", {"dataTransfer": transfer})


async def drag_frame(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """In the panel over a photo, drag from one place of it to another, both in fractions."""
    # Before, the photo has not the size that it will have.
    await page.wait_for_function("document.querySelector('.stage img')?.naturalWidth > 0")
    area = await page.locator(".stage").bounding_box()
    assert area is not None
    places = [(area["x"] + x * area["width"], area["y"] + y * area["height"]) for x, y in (start, end)]
    await page.mouse.move(*places[0])
    await page.mouse.down()
    await page.mouse.move(*places[1], steps=3)
    await page.mouse.up()


class Held(UserList[Route]):
    """Requests that wait to be answered, as they come."""

    def __init__(self) -> None:
        super().__init__()
        self._has_some = asyncio.Event()

    def hold(self, route: Route) -> None:
        self.append(route)
        self._has_some.set()

    async def first(self) -> Route:
        """The first one, once it has come: later than the page shows that it asks."""
        async with asyncio.timeout(WAIT_MS / 1000):
            await self._has_some.wait()
        return self[0]


async def hold_back(page: Page, address: str) -> Held:
    """Let requests of an address wait from now on; those that do, as they come."""
    held = Held()
    await page.route(address, held.hold)
    return held


async def hold_until(page: Page, address: str | re.Pattern[str]) -> asyncio.Event:
    """Let requests of an address wait from now on, until the event is set."""
    is_over = asyncio.Event()

    async def hold(route: Route) -> None:
        await is_over.wait()
        await route.continue_()

    await page.route(address, hold)
    return is_over


async def all_done(page: Page) -> None:
    """Wait for an answer to something that is asked now: what was answered before is dealt with by then."""
    await page.evaluate("fetch('/v1/catalogs/demo').then((answer) => answer.text())")


async def use_part(page: Page) -> None:
    """Take the part that is framed and wait for its hits."""
    async with answered(page):
        await page.get_by_role("button", name="Use this part").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def copied_link(page: Page) -> str:
    """Share what is shown; the link that the clipboard has then."""
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.get_by_role("button", name="Share").click()
    await expect(page.locator(".toast")).to_contain_text("Link copied")
    return str(await page.evaluate("navigator.clipboard.readText()"))


async def paste_photo(page: Page, content: bytes = RED_SHOES, name: str = "image.png") -> None:
    """Paste a photo where the focus is and wait for the hits."""
    transfer = await transfer_of(page, content, name, "image/png")
    async with answered(page):
        await page.evaluate(_PASTE, transfer)

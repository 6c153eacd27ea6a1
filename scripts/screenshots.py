"""Take the pictures of the page that the documentation shows: `make screenshots`.

The products are those of the demo catalogue whose packages are BSD-3-Clause (saleor) and MIT (sakai-ng).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from vitrine.catalogs import demo
from vitrine.catalogs.shops import SHOPS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PORT_BASE, HTTP_PORT = 57051, 57080
CATALOG = "shop"
SHOWN = {"saleor", "sakai"}
# The photo to search with: one of the catalogue, smaller and on another ground.
PHOTO = "saleor-87-3.png"


@dataclass(frozen=True, slots=True)
class View:
    """One picture: its name, how the screen is, and what is done before it is taken."""

    name: str
    scheme: Literal["light", "dark"]
    width: int
    height: int
    act: Callable[[Page, Path], None]


def main() -> None:
    """Write docs/page*.png and docs/console.png."""
    with (
        tempfile.TemporaryDirectory() as folder,
        _mesh(Path(folder)) as photo,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for view in VIEWS:
            _shoot(browser, view, photo)
        browser.close()


@contextmanager
def _mesh(folder: Path) -> Iterator[Path]:
    """A mesh with the demo catalogue; the photo to search with."""
    catalog = demo.fetch(folder / "demo", [shop for shop in SHOPS if shop.name in SHOWN])
    data = os.environ | {"VITRINE_DATA_DIR": str(folder / "data")}

    def vitrine(*arguments: str) -> None:
        subprocess.run([sys.executable, "-m", "vitrine", *arguments], check=True, env=data)

    vitrine("up", "--detach", "--port-base", str(PORT_BASE), "--http-port", str(HTTP_PORT))
    try:
        vitrine("index", str(catalog), "--server", f"127.0.0.1:{PORT_BASE}", "--catalog", CATALOG)
        photo = folder / "my photo.jpg"
        with Image.open(catalog / "images" / PHOTO) as image:
            cut = image.convert("RGBA")
            shown = Image.new("RGB", cut.size, "#e9e4da")
            shown.paste(cut, mask=cut)
            shown.resize((480, 480)).save(photo, quality=90)
        yield photo
    finally:
        vitrine("down")


def _with_photo(page: Page, photo: Path) -> None:
    page.set_input_files("input[type=file]", photo)
    expect(page.locator(".hit img").first).to_be_visible()


def _why(page: Page, photo: Path) -> None:
    _with_photo(page, photo)
    page.get_by_role("button", name="Why").nth(1).click()


def _product(page: Page, photo: Path) -> None:
    _with_photo(page, photo)
    page.locator(".hit .title").nth(1).click()
    expect(page.locator("#product h1")).to_be_visible()


def _console(page: Page, _: Path) -> None:
    page.goto(f"/console/?catalog={CATALOG}")
    expect(page.locator("#view > *").first).to_be_visible()


VIEWS = (
    View("page", "light", 1280, 900, _with_photo),
    View("page-why", "dark", 1280, 900, _why),
    View("page-phone", "light", 390, 844, _with_photo),
    View("page-product", "light", 1280, 900, _product),
    View("console", "light", 1280, 900, _console),
)


def _shoot(browser: Browser, view: View, photo: Path) -> None:
    page = browser.new_page(
        base_url=f"http://127.0.0.1:{HTTP_PORT}",
        color_scheme=view.scheme,
        viewport={"width": view.width, "height": view.height},
        locale="en-GB",
        reduced_motion="reduce",
    )
    page.goto(f"/?catalog={CATALOG}")
    view.act(page, photo)
    page.wait_for_load_state("networkidle")
    target = DOCS / f"{view.name}.png"
    page.screenshot(path=target)
    page.close()
    print(target.relative_to(ROOT))


if __name__ == "__main__":
    main()

"""Take the pictures of the page that the documentation shows, on drawn products: `make screenshots`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.drawings import draw, write_catalog  # noqa: E402 - a script is not run from the root

DOCS = ROOT / "docs"
PORT_BASE, HTTP_PORT = 57051, 57080
# Colour scheme, size, and whether to ask why.
VIEWS = {"page": ("light", 1280, 900, False), "page-why": ("dark", 1280, 1000, True)}


def main() -> None:
    """Write docs/page*.png."""
    with tempfile.TemporaryDirectory() as folder, _mesh(Path(folder)):
        shopper_photo = Path(folder) / "my photo.png"
        draw("Shoes", "Red", gender="Women", seed=99).save(shopper_photo)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            for name, (scheme, width, height, why) in VIEWS.items():
                _shoot(browser, shopper_photo, DOCS / f"{name}.png", scheme, (width, height), why=why)
            browser.close()


@contextmanager
def _mesh(folder: Path) -> Iterator[None]:
    catalog = write_catalog(folder / "shop")
    data = os.environ | {"VITRINE_DATA_DIR": str(folder / "data")}

    def vitrine(*arguments: str) -> None:
        subprocess.run([sys.executable, "-m", "vitrine", *arguments], check=True, env=data)

    vitrine("up", "--detach", "--port-base", str(PORT_BASE), "--http-port", str(HTTP_PORT))
    try:
        vitrine("index", str(catalog), "--server", f"127.0.0.1:{PORT_BASE}", "--catalog", "shop")
        yield
    finally:
        vitrine("down")


def _shoot(
    browser: Browser, photo: Path, target: Path, scheme: str, size: tuple[int, int], *, why: bool
) -> None:
    page = browser.new_page(color_scheme=scheme, viewport={"width": size[0], "height": size[1]})  # type: ignore[arg-type]
    page.goto(f"http://127.0.0.1:{HTTP_PORT}/")
    page.set_input_files("input[type=file]", photo)
    page.get_by_role("button", name="Why").first.wait_for()
    if why:
        # A drawn photo is like nothing that the models learned kinds of things from; of a product the shop
        # states them, and so the reasons are those of a real catalogue.
        page.get_by_role("button", name="More like").first.click()
        page.locator(".chip", has_text="Like ").wait_for()
        page.wait_for_load_state("networkidle")
        page.get_by_role("button", name="Why").first.click()
    page.wait_for_load_state("networkidle")
    page.screenshot(path=target)
    page.close()
    print(target.relative_to(ROOT))


if __name__ == "__main__":
    main()

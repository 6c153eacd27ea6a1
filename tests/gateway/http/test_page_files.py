from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from playwright.async_api import async_playwright
from starlette.applications import Starlette
from starlette.routing import Mount

from services.gateway.http import page
from tests.browser import CHROMIUM, WAIT_MS
from tests.gateway.http.conftest import Gateway, Site

LONG = "let a = 1;\n" * 500
FILES = sorted(path for path in page.STATIC.rglob("*") if path.is_file())
MAX_ICON_BYTES = 12 << 10


def address(path: Path) -> str:
    return "/" + path.relative_to(page.STATIC).as_posix()


def manifest() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((page.STATIC / "app.webmanifest").read_text())
    return read


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A page of a few files, with some that are nobody's business."""
    static = tmp_path / "static"
    for path, text in {
        "static/index.html": "<!doctype html>",
        "static/long.js": LONG,
        "static/short.js": "let a = 1;",
        "static/console/index.html": "<!doctype html><title>Console</title>",
        "static/.secret.js": "hidden",
        "static/.git/config.json": "{}",
        "static/notes.txt": "a note",
        "static/page.py": "import os",
        "static/none": "no suffix",
        "outside.js": "outside",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    (static / "link.js").symlink_to(tmp_path / "outside.js")
    return static


@pytest.fixture
async def client(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(Starlette(routes=[Mount("/", page.Page(folder))]))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://vitrine", headers={"accept-encoding": "identity"}
    ) as client:
        yield client


@pytest.mark.parametrize("path", FILES, ids=address)
async def test_every_file_of_the_page_is_served_with_its_type(gateway: Gateway, path: Path) -> None:
    """Nothing lies in the folder that browsers do not get, byte for byte, as what it is."""
    content = await asyncio.to_thread(path.read_bytes)
    response = await gateway.client.get(address(path))
    assert (response.status_code, response.content) == (200, content)
    assert response.headers["content-type"].split(";")[0] == page.TYPES[path.suffix]
    assert response.headers["cache-control"] == "no-cache"


async def test_text_is_compressed_for_who_takes_it(client: httpx.AsyncClient) -> None:
    """A browser that takes gzip gets that, another the text itself; each form has an etag of its own."""
    plain = await client.get("/long.js")
    zipped = await client.get("/long.js", headers={"accept-encoding": "gzip, deflate, br, zstd"})
    assert "content-encoding" not in plain.headers
    assert zipped.headers["content-encoding"] == "gzip"
    assert plain.text == zipped.text == LONG
    assert int(zipped.headers["content-length"]) < len(LONG) / 10
    assert plain.headers["etag"] != zipped.headers["etag"]
    assert plain.headers["vary"] == zipped.headers["vary"] == "accept-encoding"


async def test_little_texts_and_pictures_are_not_compressed(
    client: httpx.AsyncClient, gateway: Gateway
) -> None:
    """Where compression saves nothing there is one form, whoever asks."""
    headers = {"accept-encoding": "gzip"}
    for response in (
        await client.get("/short.js", headers=headers),
        await gateway.client.get("/icons/512.png", headers=headers),
    ):
        assert response.status_code == 200
        assert not {"content-encoding", "vary"} & set(response.headers)


@pytest.mark.parametrize("takes", ["identity", "gzip"])
async def test_what_a_browser_has_is_not_sent_again(
    client: httpx.AsyncClient, folder: Path, takes: str
) -> None:
    """Each form is revalidated by its own etag, until the content changes."""
    headers = {"accept-encoding": takes}
    first = await client.get("/long.js", headers=headers)
    headers["if-none-match"] = f'"other", W/{first.headers["etag"]}'
    again = await client.get("/long.js", headers=headers)
    assert (again.status_code, again.content) == (304, b"")
    for name in ("etag", "vary", "cache-control"):
        assert again.headers[name] == first.headers[name]
    other = {"gzip": "identity", "identity": "gzip"}[takes]
    assert (await client.get("/long.js", headers=headers | {"accept-encoding": other})).status_code == 200

    (folder / "long.js").write_text(LONG.upper())
    # It is as long as before, and the clock of the file system need not have gone on.
    os.utime(folder / "long.js", ns=(1, 1))
    changed = await client.get("/long.js", headers=headers)
    assert (changed.status_code, changed.text) == (200, LONG.upper())


async def test_an_etag_is_of_the_content_alone(client: httpx.AsyncClient, folder: Path) -> None:
    """Another gateway, where the same file was written at another time, has the same etag."""
    first = await client.get("/long.js")
    os.utime(folder / "long.js", ns=(1, 1))
    assert (await client.get("/long.js")).headers["etag"] == first.headers["etag"]


@pytest.mark.parametrize(
    "path",
    [
        "/.secret.js",
        "/.git/config.json",
        "/notes.txt",
        "/page.py",
        "/none",
        "/link.js",
        "/../outside.js",
        "/console/../../outside.js",
        "//outside.js",
        "/missing.js",
        "/short.js/more.js",
        f"/{'a' * 300}.js",
    ],
)
async def test_nothing_else_is_served(client: httpx.AsyncClient, path: str) -> None:
    """Hidden files, types that no page has and whatever lies elsewhere are not there."""
    # As it is written: httpx itself would resolve the dots.
    url = httpx.URL("http://vitrine").copy_with(raw_path=path.encode())
    response = await client.send(client.build_request("GET", url))
    assert response.status_code == 404


async def test_a_folder_is_its_index(client: httpx.AsyncClient) -> None:
    """The console is reached with a slash."""
    assert "Console" in (await client.get("/console/")).text


@pytest.mark.parametrize("path", ["/console", "//console", "/x/../console"])
async def test_a_folder_without_its_slash_leads_to_it_wherever_it_is_seen(
    client: httpx.AsyncClient, path: str
) -> None:
    """The redirect names neither scheme nor host: a proxy may have others, and nobody else is meant."""
    request = client.build_request("GET", "/console", params={"catalog": "demo"})
    request.url = request.url.copy_with(raw_path=f"{path}?catalog=demo".encode())
    response = await client.send(request)
    assert (response.status_code, response.headers["location"]) == (307, "/console/?catalog=demo")


async def test_files_are_only_read(client: httpx.AsyncClient) -> None:
    """HEAD answers what GET would say; nothing can be sent to a file."""
    head, whole = await client.head("/long.js"), await client.get("/long.js")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == whole.headers["content-length"] == str(len(LONG))
    assert (await client.post("/long.js")).status_code == 405


@pytest.mark.parametrize(
    ("header", "takes"),
    [
        ("", False),
        ("identity", False),
        ("gzip", True),
        ("GZIP", True),
        ("br, gzip ; q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000, br", False),
        ("*", True),
        ("*;q=0", False),
        ("*, gzip;q=0", False),
        ("gzip;q=0.001", True),
        ("x-gzip-like", False),
    ],
)
def test_gzip_is_sent_only_to_who_takes_it(header: str, takes: bool) -> None:
    """The weight 0 is a no, and `*` stands for what is not named (RFC 9110, 12.5.3)."""
    assert page._takes_gzip(header) is takes


@given(st.text(max_size=60))
def test_no_header_is_too_strange(header: str) -> None:
    """Whatever a header says is a yes or a no."""
    assert page._takes_gzip(header) in {True, False}


def test_compression_says_nothing_of_the_time(folder: Path) -> None:
    """The same content is the same bytes, so that gateways agree."""
    status = (folder / "long.js").stat()
    file = page._read(folder / "long.js", status.st_mtime_ns, status.st_size)
    assert file.zipped == gzip.compress(LONG.encode(), mtime=0)


def test_the_manifest_names_icons_that_are_there() -> None:
    """Each has the size and type that the manifest says; pictures are small, and one may be cut."""
    kinds = set()
    for icon in [*manifest()["icons"], *(icon for one in manifest()["shortcuts"] for icon in one["icons"])]:
        path = page.STATIC / icon["src"].lstrip("/")
        assert page.TYPES[path.suffix] == icon["type"]
        if icon["type"] == "image/png":
            with Image.open(path) as picture:
                assert f"{picture.width}x{picture.height}" == icon["sizes"]
        assert path.stat().st_size < MAX_ICON_BYTES
        kinds.add((icon["sizes"], icon.get("purpose", "any")))
    assert kinds == {("192x192", "any"), ("512x512", "any"), ("512x512", "maskable"), ("any", "any")}


def test_the_manifest_has_the_colours_of_the_page() -> None:
    """While the page loads its window has the paper's colour."""
    styles = "".join(path.read_text() for path in page.STATIC.rglob("*.css"))
    papers = set(re.findall(r"--paper:\D*?(#[0-9a-f]{6})", styles))
    assert {manifest()["theme_color"], manifest()["background_color"]} <= papers


async def test_what_the_manifest_leads_to_is_there(gateway: Gateway) -> None:
    """The start and every shortcut open a page."""
    for target in [manifest()["start_url"], *(one["url"] for one in manifest()["shortcuts"])]:
        response = await gateway.client.get(target)
        assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")


@pytest.mark.integration
async def test_a_browser_offers_to_install_the_page(site: Site, tmp_path: Path) -> None:
    """Chromium finds the manifest, no mistake in it, and nothing that is in the way of installing."""
    async with async_playwright() as playwright:
        # Only what has a profile can install anything.
        context = await playwright.chromium.launch_persistent_context(
            tmp_path / "profile", executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        context.set_default_timeout(WAIT_MS)
        tab = await context.new_page()
        await tab.goto(site.url)
        browser = await context.new_cdp_session(tab)
        read = await browser.send("Page.getAppManifest")
        assert (read["url"], read["errors"]) == (f"{site.url}/app.webmanifest", [])
        assert read["manifest"]["display"] == "kStandalone"
        assert len(read["manifest"]["icons"]) == 4
        found = await browser.send("Page.getInstallabilityErrors")
        assert found["installabilityErrors"] == []
        await context.close()

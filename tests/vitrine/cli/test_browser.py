from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import typer
from typer.testing import CliRunner

from tests.vitrine.fake_gateway import FakeGateway
from vitrine.cli import browser
from vitrine.cli.main import app
from vitrine.client import Part
from vitrine.client.queries import GroupBy, Query
from vitrine.client.results import results_of
from vitrine.v1 import catalog_pb2, search_pb2

TEXT: Query = {"parts": [Part(text="red & white")]}


@pytest.mark.parametrize(
    ("query", "expressions", "address"),
    [
        (TEXT, (), "?catalog=shop&q=red+%26+white"),
        ({"parts": [Part(product="a1")], "profile": "clip"}, (), "?catalog=shop&product=a1&profile=clip"),
        (TEXT, ("gender=Women", "Gender=Men"), "?catalog=shop&q=red+%26+white&gender=Women&gender=Men"),
        (TEXT, ("inferred.category=Shoes",), "?catalog=shop&q=red+%26+white&inferred.category=Shoes"),
        (TEXT, ("price=10..50",), "?catalog=shop&q=red+%26+white&min=10&max=50"),
        (TEXT, ("price=..50",), "?catalog=shop&q=red+%26+white&max=50"),
    ],
)
def test_the_page_has_an_address_for_what_it_can_show(
    query: Query, expressions: tuple[str, ...], address: str
) -> None:
    """Words, a product, a profile and the page's own filters are in its address."""
    assert browser.page_address("http://h:1/", "shop", query, expressions) == f"http://h:1/{address}"


@pytest.mark.parametrize(
    ("query", "expressions"),
    [
        ({"parts": [Part(image=b"x")]}, ()),
        ({"parts": [Part(text="a"), Part(product="b")]}, ()),
        ({**TEXT, "group_by": GroupBy("brand")}, ()),
        ({**TEXT, "diversity": 0.5}, ()),
        (TEXT, ("brand=Acme",)),
        (TEXT, ("gender!=Men",)),
        (TEXT, ("price=9",)),
    ],
)
def test_the_page_has_no_address_for_the_rest(query: Query, expressions: tuple[str, ...]) -> None:
    """A picture, a mix or what else the page cannot ask for is shown otherwise."""
    assert browser.page_address("http://h:1", "shop", query, expressions) is None


class _Pictures(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path != "/media/none.webp" else 404)
        self.send_header("content-type", "text/html" if "page" in self.path else "image/webp")
        self.end_headers()
        self.wfile.write(b"RIFF")

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def url() -> Iterator[str]:
    """Where pictures are."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Pictures) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_file_shows_the_hits_with_their_pictures(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The photo that matched is in it, and nothing that a shop wrote is markup."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    paths = {"a": "/media/one.webp", "b": "/media/none.webp", "c": "/media/page.webp"}
    hits = [
        search_pb2.Hit(
            product=catalog_pb2.Product(
                name=f"catalogs/shop/products/{name}",
                title="<script>",
                photos=[
                    catalog_pb2.Photo(id="o", media_path="/other"),
                    catalog_pb2.Photo(id="p", media_path=path),
                ],
            ),
            photo_id="p",
            similarity=81,
        )
        for name, path in paths.items()
    ]
    found = browser.file_of(results_of(search_pb2.SearchResponse(hits=hits), 1.0), url)
    page = Path(unquote(urlsplit(found).path)).read_text()
    assert page.count("<img") == page.count("data:image/webp;base64,UklGRg==") == 1
    assert page.count("&lt;script&gt;") == 3
    assert "<script>" not in page
    nothing = browser.file_of(results_of(search_pb2.SearchResponse(), 1.0), "no-address")
    assert "Nothing found." in Path(unquote(urlsplit(nothing).path)).read_text()


def test_search_opens_what_it_found(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Words lead to the page, a picture to a file, and the address is told."""
    opened: list[str] = []
    monkeypatch.setattr(typer, "launch", opened.append)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    gateway.catalogs["shop"] = {}
    (tmp_path / "shoe.jpg").write_bytes(b"jpeg")
    for query in ("red", str(tmp_path / "shoe.jpg")):
        options = ("--server", gateway.address, "--open", "--url", "https://h")
        result = CliRunner().invoke(app, ["search", query, *options])
        assert result.exit_code == 0
        assert f"opening {opened[-1]}" in result.stderr
    assert opened[0] == "https://h/?catalog=shop&q=red"
    assert opened[1].startswith("file://")

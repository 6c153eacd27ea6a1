from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI

from services.gateway.http import envelope
from services.gateway.http import media as media_module
from services.gateway.http.media import routes
from services.gateway.media import Elsewhere
from tests.gateway.http.fakes import HttpSettings

PNG, WEBP, ADDRESS = "1" * 64 + ".png", "2" * 64 + ".webp", "3" * 64 + ".uri"
CDN = "https://cdn.shop.example/a.jpg?w=600"


class Counting:
    """Pictures, and how often each was read."""

    def __init__(self) -> None:
        self.pictures: dict[str, bytes | Elsewhere] = {PNG: b"png", WEBP: b"webp", ADDRESS: Elsewhere(CDN)}
        self.reads: list[str] = []

    async def shown(self, file: str) -> bytes | Elsewhere:
        self.reads.append(file)
        return self.pictures[file]


@pytest.fixture
def media() -> Counting:
    return Counting()


@pytest.fixture
async def client(media: Counting) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(routes(media))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://vitrine") as calling:
        yield calling


@pytest.mark.parametrize(("file", "kind"), [(PNG, "image/png"), (WEBP, "image/webp")])
async def test_a_picture_is_served_with_its_type(client: httpx.AsyncClient, file: str, kind: str) -> None:
    """Its bytes and type, a policy under which it can do nothing, and leave to keep it forever."""
    response = await client.get(f"/media/{file}")
    assert response.content == file.rpartition(".")[2].encode()
    assert response.headers["content-type"] == kind
    assert response.headers["content-security-policy"] == "default-src 'none'"
    assert "immutable" in response.headers["cache-control"]


async def test_a_head_request_tells_without_a_body(client: httpx.AsyncClient) -> None:
    """The same headers, no bytes."""
    whole, head = await client.get(f"/media/{PNG}"), await client.head(f"/media/{PNG}")
    assert head.content == b""
    assert head.headers == whole.headers


@pytest.mark.parametrize("named", ['"{}"', 'W/"{}"', '"other", "{}"', "*"])
async def test_who_has_it_is_told_so(client: httpx.AsyncClient, named: str) -> None:
    """An If-None-Match of the picture's ETag is answered without it, one of another with it."""
    etag = (await client.get(f"/media/{PNG}")).headers["etag"]
    assert etag == f'"{PNG}"'
    known = await client.get(f"/media/{PNG}", headers={"if-none-match": named.format(PNG)})
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", etag)
    other = await client.get(f"/media/{PNG}", headers={"if-none-match": '"other"'})
    assert other.status_code == 200


async def test_a_picture_elsewhere_is_a_redirect(client: httpx.AsyncClient) -> None:
    """People are sent to the host of the photo, for a day."""
    response = await client.get(f"/media/{ADDRESS}")
    assert (response.status_code, response.headers["location"]) == (302, CDN)
    assert response.headers["cache-control"] == "public, max-age=86400"


async def test_recent_pictures_are_in_memory(
    client: httpx.AsyncClient, media: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture that is asked for again is not read again; what was shown longest ago goes first."""
    for file in (PNG, PNG, WEBP, PNG):
        assert (await client.get(f"/media/{file}")).status_code == 200
    assert media.reads == [PNG, WEBP]

    recent = media_module._Recent(10)
    for name, size in (("a", 4), ("b", 4), ("a", 4), ("huge", 11)):
        recent.put(name, bytes(size))
    assert recent.get("a") == bytes(4)
    recent.put("c", bytes(4))
    assert [recent.get(name) is not None for name in ("a", "b", "c", "huge")] == [True, False, True, False]


def test_the_page_may_show_pictures_of_the_hosts_that_keep_them() -> None:
    """Those hosts, and no others, are in the policy of what a page may load."""
    settings = replace(HttpSettings(), media_redirect_hosts=["cdn.shop.example", ".images.example"])
    for given, allowed in (
        (settings, "img-src 'self' blob: cdn.shop.example *.images.example;"),
        (HttpSettings(), "img-src 'self' blob:;"),
    ):
        assert allowed in envelope._security_headers(given)["content-security-policy"]

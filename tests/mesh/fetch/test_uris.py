from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mesh.errors import InvalidArgument
from services.mesh.fetch import uris
from services.mesh.fetch.addresses import AllowedHosts

NONE = AllowedHosts()
INTERNAL = AllowedHosts(["media.internal"])


@pytest.mark.parametrize(
    ("uri", "same"),
    [
        ("http://shop.example/a.jpg", "http://shop.example/a.jpg"),
        ("HTTPS://Shop.Example:443/A.jpg?w=1#top", "https://shop.example/A.jpg?w=1"),
        ("http://shop.example.:8080", "http://shop.example:8080/"),
        ("https://bücher.example/ü b.jpg", "https://xn--bcher-kva.example/%C3%BC%20b.jpg"),
        ("http://shop.example/a%20b%2Fc?x=%27", "http://shop.example/a%20b%2Fc?x=%27"),
        ("http://[2606:4700:4700::1111]/a", "http://[2606:4700:4700::1111]/a"),
        ("http://127。0。0。1/", "http://127.0.0.1/"),
    ],
)
def test_addresses_are_taken_apart(uri: str, same: str) -> None:
    """Case, default ports, dots at the end and letters beyond ASCII are made uniform, paths are kept."""
    url = uris.parse(uri, allowed=NONE)
    assert f"{url.scheme}://{url.netloc.decode()}{url.raw_path.decode()}" == same


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "shop.example/a.jpg",
        "//shop.example/a.jpg",
        "ftp://shop.example/a.jpg",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "gopher://shop.example/",
        " http://shop.example/",
        "http://",
        "http:///a.jpg",
        "http://user@shop.example/",
        "http://user:password@shop.example/",
        "http://shop.example\\@evil.example/",
        "http://shop.example:22/",
        "http://shop.example:0/",
        "http://shop.example:99999/",
        "http://shop.example:port/",
        "http://shop..example/",
        "http://.shop.example/",
        "http://shop.example../",
        "http://" + "a" * 64 + ".example/",
        "http://" + "a." * 127 + "ab/",
        "http://sh op.example/",
        "http://shop%2eexample/",
        "http://shop.example\t/",
        "http://ⓛocalhost/",
        "http://[::1/",
        "http://[::g]/",
        "http://shop.example/" + "a" * 2048,
        "http://shop.example/\ud800",
    ],
)
def test_what_is_no_plain_web_address_is_refused(uri: str) -> None:
    """Other schemes, user names, unusual ports, no host or an odd one, and too long: all are refused."""
    with pytest.raises(InvalidArgument) as caught:
        uris.parse(uri, allowed=NONE)
    assert (caught.value.field, caught.value.reason) == ("uri", "URI_REFUSED")


def test_an_allowed_host_has_any_port() -> None:
    """Whoever allows a host knows what runs on it; only port 0 does not exist."""
    assert uris.parse("http://media.internal:9000/a", allowed=INTERNAL).port == 9000
    for port in (0, 65536):
        with pytest.raises(InvalidArgument):
            uris.parse(f"http://media.internal:{port}/a", allowed=INTERNAL)


def test_the_longest_address_is_allowed() -> None:
    """2,048 characters are the limit itself."""
    uri = "http://shop.example/"
    uris.parse(uri + "a" * (uris.MAX_CHARACTERS - len(uri)), allowed=NONE)


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("b.jpg", "https://shop.example/x/b.jpg"),
        ("/b.jpg", "https://shop.example/b.jpg"),
        ("//cdn.example/b.jpg", "https://cdn.example/b.jpg"),
        ("https://cdn.example:8443/b.jpg", "https://cdn.example:8443/b.jpg"),
    ],
)
def test_redirects_are_taken_relative_to_where_they_came_from(location: str, target: str) -> None:
    """Relative and absolute locations lead where a browser would go."""
    url = uris.parse("https://shop.example/x/a.jpg", allowed=NONE)
    assert str(uris.redirected(url, location, allowed=NONE)) == target


@pytest.mark.parametrize(
    "location",
    [
        "http://shop.example/b.jpg",
        "file:///etc/passwd",
        "https://u:p@shop.example/",
        "https://shop.example:22/",
        "https://[",
        "https://shop.example/\t",
        "https://shop.example/" + "a" * 2048,
    ],
)
def test_redirects_are_checked_like_addresses(location: str) -> None:
    """What is refused as an address is refused as a redirect, and so is the way back from https to http."""
    url = uris.parse("https://shop.example/x/a.jpg", allowed=NONE)
    with pytest.raises(InvalidArgument) as caught:
        uris.redirected(url, location, allowed=NONE)
    assert caught.value.reason == "URI_REFUSED"


@given(
    st.one_of(st.text(), st.text().map("http://".__add__), st.text("[]:.@/%#?\\0aü").map("http://".__add__))
)
def test_any_text_is_an_address_or_refused(uri: str) -> None:
    """Whatever is sent, it is refused, or has a host and stays what it is when taken apart again."""
    try:
        url = uris.parse(uri, allowed=NONE)
    except InvalidArgument as error:
        assert error.reason == "URI_REFUSED"
    else:
        assert url.raw_host
        assert uris.parse(str(url), allowed=NONE) == url

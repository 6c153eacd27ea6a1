"""The hits of a search in a browser.

That is the gateway's page where its address can say what was searched for, else a page that is written here.
"""

from __future__ import annotations

import base64
import html
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from vitrine.cli import filters
from vitrine.cli.values import words

if TYPE_CHECKING:
    from vitrine.client import Hit, SearchResults
    from vitrine.client.queries import Query

DEFAULT_URL = "http://127.0.0.1:8080"

# What the page filters by, besides the price.
_FILTERED = ("gender", "category", "colour")
# What a search can ask for besides words or a product, a profile and filters, which the page cannot.
_BEYOND = ("page_token", "group_by", "diversity", "min_similarity")

_TIMEOUT_S = 5.0
_MAX_PICTURE_BYTES = 4 << 20
_AT_ONCE = 8

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Vitrine</title>
<meta http-equiv="content-security-policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<style>
  body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2rem; color-scheme: light dark }}
  main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: 1.5rem }}
  figure {{ margin: 0 }}
  img {{ width: 100%; aspect-ratio: 1; object-fit: contain; background: #8881 }}
  small {{ opacity: .7 }}
</style>
<main>
{figures}
</main>
</html>
"""
_FIGURE = """<figure>{picture}<figcaption><b>{similarity:.0f} {band}</b> {title}<br>
<small>{product} {attributes}</small></figcaption></figure>"""


def page_address(url: str, catalog: str, query: Query, expressions: Sequence[str]) -> str | None:
    """The address of the page at `url` that shows the same search; None where no address can say it."""
    given = _words_or_product(query)
    filtered = _filtered(expressions)
    if given is None or filtered is None or any(query.get(name) for name in _BEYOND):
        return None
    profile = [("profile", query["profile"])] if query.get("profile") else []
    return f"{url.rstrip('/')}/?{urlencode([('catalog', catalog), *given, *profile, *filtered])}"


def file_of(results: SearchResults, url: str) -> str:
    """The address of a file that shows the hits, with the pictures that the gateway has at `url`."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        pictures = list(pool.map(lambda hit: _picture(hit, url), results.hits))
    figures = "\n".join(_figure(hit, picture) for hit, picture in zip(results.hits, pictures, strict=True))
    with NamedTemporaryFile("w", prefix="vitrine-", suffix=".html", delete=False, encoding="utf-8") as file:
        file.write(_PAGE.format(figures=figures or "Nothing found."))
    return Path(file.name).as_uri()


def _words_or_product(query: Query) -> list[tuple[str, str]] | None:
    """What the page calls the words or the product of a query, which must be all that it has."""
    parts = query.get("parts", ())
    if len(parts) != 1:
        return None
    (part,) = parts
    if part.text is not None:
        return [("q", part.text)]
    return [("product", part.product)] if part.product is not None else None


def _filtered(expressions: Sequence[str]) -> list[tuple[str, str]] | None:
    """What the page calls the filters."""
    found: list[tuple[str, str]] = []
    for expression in expressions:
        attribute, operator, word = filters.split(expression)
        ends = filters.ends(word)
        if operator != "=":
            return None
        if attribute == "price" and ends is not None:
            found += [(name, end) for name, end in zip(("min", "max"), ends, strict=True) if end]
        elif attribute.removeprefix("inferred.") in _FILTERED:
            found.append((attribute, word))
        else:
            return None
    return found


def _figure(hit: Hit, picture: str) -> str:
    attributes = ", ".join(words(value) for value in hit.product.attributes.values())
    return _FIGURE.format(
        picture=f'<img alt="" src="{picture}">' if picture else "",
        similarity=hit.similarity,
        band=html.escape(hit.band),
        title=html.escape(hit.product.title),
        product=html.escape(hit.product.id),
        attributes=html.escape(attributes),
    )


def _picture(hit: Hit, url: str) -> str:
    """The picture of the photo that matched, as a data URL: a page of a file may not show the gateway's own.

    Empty where it cannot be had.
    """
    photos = sorted(hit.product.photos, key=lambda photo: photo.id != hit.photo_id)
    if not photos or not photos[0].media_path:
        return ""
    try:
        # The scheme is the caller's own: the gateway that was just asked.
        address = f"{url.rstrip('/')}{photos[0].media_path}"
        with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as response:  # noqa: S310 - see above
            kind = response.headers.get_content_type()
            content = response.read(_MAX_PICTURE_BYTES)
    except (urllib.error.URLError, OSError, ValueError):
        return ""
    if not kind.startswith("image/"):
        return ""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"

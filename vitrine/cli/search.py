"""`vitrine search`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.mesh.errors import InvalidArgument
from vitrine.cli import filters, output
from vitrine.cli.options import CatalogOption, DataDirOption, JsonOption, ServerOption

if TYPE_CHECKING:
    from vitrine.client import Hit, SearchResults

_BAND_COLOURS = {"high": "green", "medium": "yellow", "low": "red"}
_SHOWN_DROPPED = 5
_SHOWN_ATTRIBUTES = ("gender", "type", "category", "colour", "price")


def search(
    context: typer.Context,
    query: Annotated[list[str] | None, typer.Argument(help="Words, or the path of a picture.")] = None,
    text: Annotated[str | None, typer.Option("--text", help="Words.")] = None,
    image: Annotated[Path | None, typer.Option("--image", help="The path of a picture.")] = None,
    product: Annotated[str | None, typer.Option("--product", help="The id of a product.")] = None,
    k: Annotated[int, typer.Option("--k", "-k", help="Hits, 1 to 100.")] = 10,
    filter_: Annotated[
        list[str] | None,
        typer.Option(
            "--filter", "-f", help="gender=Women, gender!=Men, price=10..50; may be given several times."
        ),
    ] = None,
    profile: Annotated[str, typer.Option("--profile", help="Ranking profile, or the name of a space.")] = "",
    explain: Annotated[bool, typer.Option("--explain", help="Show what each score is made of.")] = False,
    page_token: Annotated[
        str, typer.Option("--page-token", help="`next_page_token` of the page before.")
    ] = "",
    catalog: CatalogOption = None,
    server: ServerOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Find products by a picture, words, or another product."""
    from vitrine.cli.mesh import choose_catalog, find_server
    from vitrine.client import Client

    if query:
        if text is not None or image is not None:
            raise InvalidArgument("query", "give it once: as an argument, or with --text or --image")
        if Path(query[0]).is_file() and len(query) == 1:
            image = Path(query[0])
        elif len(query) == 1 and _looks_like_a_picture(query[0]):
            raise InvalidArgument("query", f"there is no file {query[0]!r}; for words use --text")
        else:
            text = " ".join(query)
    if text is None and image is None and product is None:
        raise InvalidArgument("query", "is empty: give words, a picture or --product")
    with Client(find_server(context, server, data_dir)) as client:
        client.catalog = choose_catalog(client, catalog)
        results = client.search(
            text=text,
            image=image,
            product=product,
            k=k,
            filter=filters.parse(filter_ or ()),
            profile=profile,
            # A program takes what it wants; people ask for it.
            explain=explain or json,
            page_token=page_token,
        )
    if json:
        output.print_json(as_json(results))
    else:
        _print(results, explain=explain)


def _looks_like_a_picture(query: str) -> bool:
    """Whether one word without blanks is meant as the path of a picture."""
    from vitrine.catalogs.folder import SUFFIXES

    return " " not in query and query.lower().endswith(SUFFIXES)


def as_json(results: SearchResults) -> dict[str, Any]:
    """The results as `--json` prints them."""
    return {
        "hits": [_hit_json(hit) for hit in results.hits],
        "took_ms": results.took_ms,
        "degraded": list(results.degraded),
        "next_page_token": results.next_page_token,
        "query_id": results.query_id,
        "revision": results.revision,
        "generation": results.generation,
        "profile": results.profile,
        "shards_ok": results.shards_ok,
        "shards_total": results.shards_total,
        "cache": results.cache,
        "stages": dict(results.stages),
        "plans": list(results.plans),
        "query_labels": [vars(label) for label in results.query_labels],
        "dropped": [vars(dropped) for dropped in results.dropped],
    }


def _hit_json(hit: Hit) -> dict[str, Any]:
    return {
        "product": hit.product.id,
        "title": hit.product.title,
        "score": hit.score,
        "similarity": hit.similarity,
        "band": hit.band,
        "photo": hit.photo_id,
        "attributes": dict(hit.product.attributes),
        "terms": [vars(term) for term in hit.terms],
    }


def _print(results: SearchResults, *, explain: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("#", justify="right")
    table.add_column("similarity", justify="right")
    table.add_column("product", no_wrap=True)
    table.add_column("title", overflow="fold")
    table.add_column("attributes", style="dim", overflow="fold")
    for place, hit in enumerate(results.hits, start=1):
        shown = Text(f"{hit.similarity:.0f} {hit.band}", style=_BAND_COLOURS.get(hit.band, ""))
        table.add_row(
            str(place), shown, Text(hit.product.id), Text(hit.product.title), Text(_attributes(hit))
        )
        if explain:
            table.add_row("", "", "", Text(_terms(hit), style="dim"), "")
    console = output.out()
    console.print(table if results.hits else "Nothing found.")
    for dropped in results.dropped[:_SHOWN_DROPPED]:
        output.say(f"left out {dropped.product}: {dropped.reason}")
    if len(results.dropped) > _SHOWN_DROPPED:
        output.say(f"... and {len(results.dropped) - _SHOWN_DROPPED} more")
    if results.degraded:
        output.say(f"This answer is less than it could be: {', '.join(results.degraded)}")
    shards = f"{results.shards_ok}/{results.shards_total} shards"
    output.say(f"{results.took_ms:.0f} ms · {results.profile} · {shards}")


def _attributes(hit: Hit) -> str:
    attributes = hit.product.attributes
    return ", ".join(_words(attributes[name]) for name in _SHOWN_ATTRIBUTES if name in attributes)


def _words(value: object) -> str:
    return " ".join(str(item) for item in value) if isinstance(value, list | tuple) else str(value)


def _terms(hit: Hit) -> str:
    return ", ".join(
        f"{term.name} {term.contribution:+.3f}{' (absent)' if term.absent else ''}" for term in hit.terms
    )

"""`vitrine search`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.mesh.errors import InvalidArgument, VitrineError
from vitrine.cli import filters, output
from vitrine.cli.options import CatalogOption, DataDirOption, JsonOption, ServerOption

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from vitrine.client import Client, Facet, GroupBy, Hit, SearchResults
    from vitrine.client.queries import Query

_BAND_COLOURS = {"high": "green", "medium": "yellow", "low": "red"}
_SHOWN_DROPPED = 5
_SHOWN_VALUES = 10
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
    group_by: Annotated[
        str,
        typer.Option("--group-by", help="At most so many hits of a value: colour, or colour=3, at most 10."),
    ] = "",
    diversity: Annotated[
        float, typer.Option("--diversity", help="How much variety counts against score, 0 to 1.")
    ] = 0.0,
    min_similarity: Annotated[
        float, typer.Option("--min-similarity", help="Leave out hits with a lower similarity, 0 to 100.")
    ] = 0.0,
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
        if len(query) == 1 and _is_path(query[0]):
            image = Path(query[0])
            if not image.is_file():
                raise InvalidArgument("query", f"there is no file {query[0]!r}; for words use --text")
        else:
            text = " ".join(query)
    if text is None and image is None and product is None:
        raise InvalidArgument("query", "is empty: give words, a picture or --product")
    expressions = filter_ or ()
    wanted: Query = {"text": text, "image": image, "product": product, "profile": profile}
    page: Query = {
        **wanted,
        "k": k,
        "filter": filters.parse(expressions),
        # A program takes what it wants; people ask for it.
        "explain": explain or json,
        "page_token": page_token,
        "group_by": _group_by(group_by) if group_by else None,
        "diversity": diversity,
        "min_similarity": min_similarity,
    }
    with Client(find_server(context, server, data_dir)) as client:
        client.catalog = choose_catalog(client, catalog)
        try:
            results = client.search(**page)
        except InvalidArgument as error:
            raise _as_typed(error, expressions, image) from error
        attributes = filters.compared(expressions)
        is_filtered_empty = attributes and not results.hits and not page_token
        facets = _facets(client, wanted, attributes) if is_filtered_empty and not json else ()
    if json:
        output.print_json(as_json(results))
    else:
        _print(results, explain=explain)
        for facet in facets:
            output.say(f"{facet.attribute} is one of: {_counted(facet)}")


def _is_path(query: str) -> bool:
    """Whether an argument is the path of a file, or was meant as one; `black/white` is a word."""
    from vitrine.catalogs.folder import SUFFIXES

    meant = query.startswith(("/", "./", "../", "~/")) or query.lower().endswith(SUFFIXES)
    return (meant and " " not in query) or Path(query).is_file()


def _group_by(word: str) -> GroupBy:
    """What `colour` and `colour=3` ask for."""
    from vitrine.client import GroupBy

    attribute, has_size, size = word.partition("=")
    if has_size and not re.fullmatch(r"[0-9]{1,3}", size.strip()):
        raise InvalidArgument("--group-by", f"{word!r} is not attribute or attribute=hits")
    return GroupBy(attribute.strip().lower(), int(size) if has_size else 1)


def _as_typed(error: InvalidArgument, expressions: Sequence[str], image: Path | None) -> InvalidArgument:
    """What the gateway says of a field of its request, said of what was typed."""
    field = error.field
    if expression := filters.expression_at(expressions, field):
        field = f"--filter {expression}"
    elif part := re.match(r"parts\[\d+\]\.(text|image|product)", field):
        field = str(image) if part[1] == "image" else part[1]
    elif option := re.fullmatch(r"(group_by|diversity|min_similarity)(\..+)?", field):
        field = f"--{option[1].replace('_', '-')}"
    return InvalidArgument(field, error.message, reason=error.reason)


def _facets(client: Client, wanted: Query, attributes: Sequence[str]) -> Sequence[Facet]:
    """The values that the attributes have in the whole catalogue; nothing where they cannot be had."""
    try:
        counting: Query = {**wanted, "k": 1, "facets": attributes}
        return client.search(**counting).facets
    except VitrineError:
        # The answer itself was had, and this is a hint.
        return ()


def _counted(facet: Facet) -> str:
    shown = [f"{_word(value)} ({count})" for value, count in facet.counts[:_SHOWN_VALUES]]
    return ", ".join([*shown, "..."] if len(facet.counts) > _SHOWN_VALUES else shown)


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
        "group_by": vars(results.group_by) if results.group_by else None,
        "diversity": results.diversity,
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
        "group": hit.group,
    }


def _print(results: SearchResults, *, explain: bool) -> None:
    console = output.out()
    if explain and results.query_labels:
        understood = (
            f"{label.name} {label.value} ({label.probability:.2f})" for label in results.query_labels
        )
        console.print(f"understood: {', '.join(understood)}", markup=False)
    if not results.hits:
        console.print("Nothing found.")
    elif explain:
        for place, hit in enumerate(results.hits, start=1):
            console.print(_explained(place, hit))
    else:
        console.print(_table(results.hits))
    for dropped in results.dropped[:_SHOWN_DROPPED]:
        output.say(f"left out {dropped.product}: {dropped.reason}")
    if len(results.dropped) > _SHOWN_DROPPED:
        output.say(f"... and {len(results.dropped) - _SHOWN_DROPPED} more")
    if results.degraded:
        output.say(f"This answer is less than it could be: {', '.join(results.degraded)}")
    shards = f"{results.shards_ok}/{results.shards_total} shards"
    output.say(f"{results.took_ms:.0f} ms · {results.profile} · {shards}")


def _table(hits: Sequence[Hit]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("#", justify="right")
    table.add_column("similarity", justify="right")
    table.add_column("product", no_wrap=True)
    table.add_column("title", overflow="fold")
    table.add_column("attributes", style="dim", overflow="fold")
    for place, hit in enumerate(hits, start=1):
        table.add_row(
            str(place),
            _similarity(hit),
            Text(hit.product.id),
            Text(hit.product.title),
            Text(_attributes(hit)),
        )
    return table


def _explained(place: int, hit: Hit) -> RenderableType:
    """A hit, and below it the sum that its score is, over the whole width."""
    from rich.columns import Columns
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    head = Text.assemble(
        f"{place:>2}  ",
        _similarity(hit),
        f"  {hit.product.id}  {hit.product.title}  ",
        (_attributes(hit), "dim"),
    )
    terms = [
        Text(f"{term.name} {term.contribution:+.3f}{' (absent)' if term.absent else ''}", style="dim")
        for term in hit.terms
    ]
    total = Text(f"score {hit.score:.3f} =")
    return Group(head, Padding(Columns([total, *terms], padding=(0, 2)), (0, 0, 0, 4)))


def _similarity(hit: Hit) -> Text:
    from rich.text import Text

    return Text(f"{hit.similarity:.0f} {hit.band}", style=_BAND_COLOURS.get(hit.band, ""))


def _attributes(hit: Hit) -> str:
    attributes = hit.product.attributes
    return ", ".join(_words(attributes[name]) for name in _SHOWN_ATTRIBUTES if name in attributes)


def _word(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _words(value: object) -> str:
    return " ".join(str(item) for item in value) if isinstance(value, list | tuple) else str(value)

"""`vitrine search`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.mesh.errors import InvalidArgument, VitrineError
from vitrine.cli import browser, filters, output, tables
from vitrine.cli.options import FieldsOption
from vitrine.cli.products import names
from vitrine.cli.session import Session, in_catalog
from vitrine.cli.values import word, words

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from vitrine.client import Client, Facet, GroupBy, Hit, Part, SearchResults
    from vitrine.client.queries import Query

_BAND_COLOURS = {"high": "green", "medium": "yellow", "low": "red"}
_SHOWN_DROPPED = 5
_SHOWN_VALUES = 10
_SHOWN_ATTRIBUTES = ("gender", "type", "category", "colour", "price")


@in_catalog
def search(
    session: Session,
    query: Annotated[
        list[str] | None, typer.Argument(help="Words, pictures (a file or an address), or both.")
    ] = None,
    text: Annotated[str | None, typer.Option("--text", help="Words.")] = None,
    image: Annotated[str | None, typer.Option("--image", help="A picture: a file or an address.")] = None,
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
    fields: FieldsOption = "",
    explain: Annotated[bool, typer.Option("--explain", help="Show what each score is made of.")] = False,
    page_token: Annotated[
        str, typer.Option("--page-token", help="`next_page_token` of the page before.")
    ] = "",
    open_: Annotated[bool, typer.Option("--open", help="Show the hits in the browser.")] = False,
    url: Annotated[
        str, typer.Option("--url", help="The gateway's HTTP address, for --open; the running `vitrine up`.")
    ] = "",
) -> None:
    """Find products by pictures, words, or another product."""
    parts = _parts(query or (), text, image, product)
    expressions = filter_ or ()
    wanted: Query = {"parts": [part for _, part in parts], "profile": profile}
    page: Query = {
        **wanted,
        "k": k,
        "filter": filters.parse(expressions),
        # A program takes what it wants; people ask for it.
        "explain": explain or session.json,
        "page_token": page_token,
        "group_by": _group_by(group_by) if group_by else None,
        "diversity": diversity,
        "min_similarity": min_similarity,
        "fields": names(fields),
    }
    with session.client() as client:
        try:
            results = client.search(**page)
        except InvalidArgument as error:
            raise _as_typed(error, expressions, [typed for typed, _ in parts]) from error
        attributes = filters.compared(expressions)
        is_filtered_empty = attributes and not results.hits and not page_token
        facets = _facets(client, wanted, attributes) if is_filtered_empty and not session.json else ()
        catalog = client.catalog
    if session.json:
        output.print_json(as_json(results))
    else:
        _print(results, explain=explain)
        for facet in facets:
            output.say(f"{facet.attribute} is one of: {_counted(facet)}")
    if open_:
        running = session.mesh
        found = url or (running.layout.url if running else browser.DEFAULT_URL)
        address = browser.page_address(found, catalog, page, expressions) or browser.file_of(results, found)
        # A machine without a browser is a place to copy it from.
        output.say(f"opening {address}")
        typer.launch(address)


def _parts(
    arguments: Sequence[str], text: str | None, image: str | None, product: str | None
) -> list[tuple[str, Part]]:
    """The parts of the query, each with how it was typed, for errors. What is no picture is words."""
    from vitrine.catalogs.photos import is_fetchable
    from vitrine.client import Part

    pictures = [argument for argument in arguments if _is_picture(argument)]
    words = [argument for argument in arguments if not _is_picture(argument)]
    if words and text is not None:
        raise InvalidArgument("query", "the words are given twice: as arguments and with --text")
    parts: list[tuple[str, Part]] = []
    if words or text is not None:
        parts.append(("text", Part(text=" ".join(words) if text is None else text)))
    if image is not None:
        pictures.append(image)
    for picture in pictures:
        if not is_fetchable(picture) and not Path(picture).is_file():
            raise InvalidArgument("query", f"there is no file {picture!r}; for words use --text")
    parts += [(picture, Part(image=picture)) for picture in pictures]
    if product is not None:
        parts.append(("product", Part(product=product)))
    if not parts:
        raise InvalidArgument("query", "is empty: give words, a picture or --product")
    return parts


def _is_picture(argument: str) -> bool:
    """Whether it is an address, the path of a file, or was meant as one; `black/white` is a word."""
    from vitrine.catalogs.photos import SUFFIXES, is_fetchable

    meant = argument.startswith(("/", "./", "../", "~/")) or argument.lower().endswith(SUFFIXES)
    return is_fetchable(argument) or (meant and " " not in argument) or Path(argument).is_file()


def _group_by(word: str) -> GroupBy:
    """What `colour` and `colour=3` ask for."""
    from vitrine.client import GroupBy

    attribute, has_size, size = word.partition("=")
    if has_size and not re.fullmatch(r"[0-9]{1,3}", size.strip()):
        raise InvalidArgument("--group-by", f"{word!r} is not attribute or attribute=hits")
    return GroupBy(attribute.strip().lower(), int(size) if has_size else 1)


def _as_typed(error: InvalidArgument, expressions: Sequence[str], parts: Sequence[str]) -> InvalidArgument:
    """What the gateway says of a field of its request, said of what was typed."""
    field = error.field
    if expression := filters.expression_at(expressions, field):
        field = f"--filter {expression}"
    elif part := re.match(r"parts\[(\d+)\]", field):
        field = parts[int(part[1])]
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
    shown = [f"{word(value)} ({count})" for value, count in facet.counts[:_SHOWN_VALUES]]
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
    from rich.text import Text

    made = tables.table("#", "similarity", "product", "title", "attributes", whole=("product",))
    for place, hit in enumerate(hits, start=1):
        made.add_row(
            str(place),
            _similarity(hit),
            Text(hit.product.id),
            Text(hit.product.title),
            Text(_attributes(hit)),
        )
    return made


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
    return ", ".join(words(attributes[name]) for name in _SHOWN_ATTRIBUTES if name in attributes)

"""`vitrine feedback`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from vitrine.cli import output
from vitrine.cli.session import Session, in_catalog


class KindName(StrEnum):
    """What somebody made of a hit."""

    click = "click"
    like = "like"
    dislike = "dislike"
    add_to_cart = "add_to_cart"
    purchase = "purchase"


@in_catalog
def feedback(
    session: Session,
    query_id: Annotated[str, typer.Argument(metavar="QUERY", help="`query_id` of the search.")],
    product: Annotated[str, typer.Argument(metavar="PRODUCT", help="The id of the hit's product.")],
    kind: Annotated[KindName, typer.Argument(metavar="KIND", help=", ".join(KindName))],
    place: Annotated[int, typer.Option("--place", min=0, help="Its place among all hits, from 1.")] = 0,
) -> None:
    """Record what somebody made of a hit."""
    with session.client() as client:
        client.feedback(query_id, product, kind.value, place=place)
    if session.json:
        output.print_json({"recorded": True})
    else:
        output.out().print("recorded")

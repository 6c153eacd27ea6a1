"""`vitrine products`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.mesh.errors import InvalidArgument
from vitrine.cli import output, tables
from vitrine.cli.options import FieldsOption, LimitOption
from vitrine.cli.session import Session, in_catalog
from vitrine.cli.values import words

if TYPE_CHECKING:
    from vitrine.client import Photo, Product
    from vitrine.client.filters import Value

app = typer.Typer(help="Read and change products; `vitrine index` writes many.", no_args_is_help=True)

ProductArgument = Annotated[str, typer.Argument(metavar="ID", help="The product's id.")]
EtagOption = Annotated[
    str, typer.Option("--etag", help="Only while the product has this etag, as `products get` shows it.")
]


@app.command("list")
@in_catalog
def list_(
    session: Session,
    fields: FieldsOption = "",
    near_duplicates: Annotated[
        bool, typer.Option("--near-duplicates", help="Only those that look the same as others.")
    ] = False,
    limit: LimitOption = 100,
) -> None:
    """List products by id."""
    with session.client() as client:
        found = client.list(
            fields=names(fields),
            near_duplicates_only=near_duplicates,
            page_size=min(limit or 1000, 1000),
        )
        shown = list(islice(found, limit or None))
    if session.json:
        output.print_json({"products": [as_json(product) for product in shown]})
        return
    tables.show(
        ("product", "title", "photos", "like", "attributes"),
        (
            (
                product.id,
                product.title,
                str(len(product.photos)),
                " ".join(sorted({near.product for near in product.near_duplicates})),
                _attributes(product),
            )
            for product in shown
        ),
        nothing="no products",
        whole=("product",),
    )


@app.command("get")
@in_catalog
def get(session: Session, product: ProductArgument, fields: FieldsOption = "") -> None:
    """Show a product."""
    with session.client() as client:
        found = client.get(product, fields=names(fields))
    if session.json:
        output.print_json(as_json(found))
    else:
        _show(found)


@app.command("delete")
@in_catalog
def delete(
    session: Session,
    product: ProductArgument,
    etag: EtagOption = "",
    missing_ok: Annotated[bool, typer.Option("--missing-ok", help="Succeed where there is none.")] = False,
) -> None:
    """Delete a product."""
    with session.client() as client:
        revision = client.delete(product, etag=etag, missing_ok=missing_ok)
    if session.json:
        output.print_json({"revision": revision})
    else:
        output.out().print("deleted")


@app.command("update")
@in_catalog
def update(
    session: Session,
    product: ProductArgument,
    title: Annotated[str | None, typer.Option("--title", help="What it is called.")] = None,
    description: Annotated[str | None, typer.Option("--description", help="What is told of it.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="price=9.50, colour=Red; several times for several values."),
    ] = None,
    unset: Annotated[list[str] | None, typer.Option("--unset", help="An attribute to remove.")] = None,
    photo: Annotated[
        list[str] | None,
        typer.Option("--photo", help="A file or an address; all photos that it is to have."),
    ] = None,
    etag: EtagOption = "",
    create: Annotated[bool, typer.Option("--create", help="Create it where there is none.")] = False,
) -> None:
    """Change what is given of a product, and leave the rest."""
    from vitrine.client import Product

    attributes = _assigned(set_ or ())
    fields = [
        *(["title"] if title is not None else []),
        *(["description"] if description is not None else []),
        *(f"attributes.{name}" for name in [*attributes, *(unset or ())]),
        *(["photos"] if photo else []),
    ]
    if not fields:
        raise InvalidArgument("", "nothing to change: give --title, --set, --photo, ...")
    changed = Product(
        product,
        title or "",
        description or "",
        attributes,
        [_photo(given) for given in photo or ()],
        etag=etag,
    )
    with session.client() as client:
        written = client.update(changed, fields=fields, allow_missing=create)
    if session.json:
        problems = {str(place): error.message for place, error in written.photo_errors.items()}
        output.print_json({"product": as_json(written.product), "photo_problems": problems})
        return
    _show(written.product)
    for place, error in written.photo_errors.items():
        output.say(f"{(photo or ())[place]}: {error.message}")


def names(fields: str) -> list[str]:
    """The names in `title,attributes.price`."""
    return [name for field in fields.split(",") if (name := field.strip())]


def as_json(product: Product) -> dict[str, Any]:
    """A product as `--json` prints it."""
    told = asdict(product)
    for photo in told["photos"]:
        del photo["content"]
    return told


def _attributes(product: Product) -> str:
    return ", ".join(f"{name}={words(value)}" for name, value in sorted(product.attributes.items()))


def _show(product: Product) -> None:
    rows = [
        ("id", product.id),
        ("title", product.title),
        ("description", product.description),
        *((name, words(value)) for name, value in sorted(product.attributes.items())),
        *(
            (f"photo {photo.id}", f"{photo.width}x{photo.height} {photo.uri or photo.digest[:12]}")
            for photo in product.photos
        ),
        *((f"inferred {label.name}", f"{label.value} ({label.probability:.2f})") for label in product.labels),
        *((f"like {near.product}", f"{near.cosine:.3f}") for near in product.near_duplicates),
        ("etag", product.etag),
        ("updated", product.updated.isoformat(" ", "seconds") if product.updated else ""),
    ]
    tables.show_record(rows)


def _assigned(expressions: Sequence[str]) -> dict[str, list[Value]]:
    """The values in `colour=Red`, `price=9.50`: texts, numbers and flags as a catalogue's table has them."""
    from vitrine.catalogs.columns import kind_of, typed

    assigned: dict[str, list[Value]] = {}
    for expression in expressions:
        name, equals, word = (part.strip() for part in expression.partition("="))
        if not (name and equals and word):
            raise InvalidArgument("--set", f"{expression!r} is not attribute=value")
        assigned.setdefault(name, []).append(typed(kind_of(name, word), word))
    return assigned


def _photo(given: str) -> Photo:
    from vitrine.client import Photo

    if given.lower().startswith(("http://", "https://")):
        return Photo(uri=given)
    return Photo.read(Path(given))

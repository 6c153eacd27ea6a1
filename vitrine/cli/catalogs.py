"""`vitrine catalogs`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from vitrine.cli import output, tables
from vitrine.cli.session import Session, connected

if TYPE_CHECKING:
    from vitrine.client import Catalog

app = typer.Typer(help="List, create and delete catalogues.", no_args_is_help=True)

CatalogArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The catalogue's id: lower-case letters, digits and hyphens.")
]


@app.command("list")
@connected
def list_(session: Session) -> None:
    """List catalogues by id."""
    with session.client() as client:
        found = list(client.catalogs())
    if session.json:
        output.print_json({"catalogs": [asdict(catalog) for catalog in found]})
    else:
        _show(found)


@app.command("get")
@connected
def get(session: Session, catalog: CatalogArgument) -> None:
    """Show a catalogue."""
    with session.client() as client:
        found = client.get_catalog(catalog)
    _tell(session, found)


@app.command("create")
@connected
def create(session: Session, catalog: CatalogArgument) -> None:
    """Create a catalogue with the models that the embedder serves now."""
    with session.client() as client:
        made = client.create_catalog(catalog)
    _tell(session, made)


@app.command("delete")
@connected
def delete(
    session: Session,
    catalog: CatalogArgument,
    force: Annotated[bool, typer.Option("--force", help="Delete its products too.")] = False,
) -> None:
    """Delete a catalogue."""
    with session.client() as client:
        client.delete_catalog(catalog, force=force)
    if session.json:
        output.print_json({"deleted": catalog})
    else:
        output.out().print("deleted")


def _tell(session: Session, catalog: Catalog) -> None:
    if session.json:
        output.print_json(asdict(catalog))
    else:
        _show([catalog])


def _show(catalogs: list[Catalog]) -> None:
    tables.show(
        ("catalogue", "products", "photos", "revision", "generation", "spaces"),
        (
            (
                catalog.id,
                str(catalog.products),
                str(catalog.photos),
                str(catalog.revision),
                catalog.generation,
                " ".join(catalog.spaces),
            )
            for catalog in catalogs
        ),
        nothing="no catalogues yet; `vitrine index DIR` makes one",
    )

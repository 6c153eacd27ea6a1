"""`vitrine generations`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from services.mesh.errors import FailedPrecondition
from vitrine.cli import output, tables
from vitrine.cli.session import Session, in_catalog

if TYPE_CHECKING:
    from vitrine.client import Client, Generation

app = typer.Typer(
    help="Embed a catalogue again with other models, beside what searches use.", no_args_is_help=True
)

GenerationArgument = Annotated[str, typer.Argument(metavar="ID", help="The generation's id, such as g2.")]
WaitOption = Annotated[bool, typer.Option("--wait", help="Return when every product is embedded.")]
IfNeededOption = Annotated[
    bool,
    typer.Option("--if-needed", help="Nothing fails where the newest generation has these models already."),
]
TimeoutOption = Annotated[
    float, typer.Option("--timeout", min=0, help="How many seconds --wait waits at most.")
]


@app.command("list")
@in_catalog
def list_(session: Session) -> None:
    """List the generations of a catalogue, the oldest first."""
    with session.client() as client:
        found = client.get_catalog().generations
    if session.json:
        output.print_json({"generations": [asdict(generation) for generation in found]})
    else:
        _show(found)


@app.command("create")
@in_catalog
def create(
    session: Session,
    wait: WaitOption = False,
    if_needed: IfNeededOption = False,
    timeout: TimeoutOption = 86_400.0,
) -> None:
    """Begin to embed all products with the models that the embedder serves now."""
    with session.client() as client:
        made = _needed(client, wait=wait, timeout_s=timeout) if if_needed else client.create_generation()
        if wait and made.state == "building":
            output.say(f"embedding {made.id}; Ctrl-C ends the wait, not the work")
            made = client.await_generation(made.id, timeout_s=timeout)
    _tell(session, made)


@app.command("activate")
@in_catalog
def activate(
    session: Session,
    generation: GenerationArgument,
    wait: WaitOption = False,
    timeout: TimeoutOption = 86_400.0,
) -> None:
    """Let searches use a generation, on all gateways within a second."""
    with session.client() as client:
        if wait:
            client.await_generation(generation, timeout_s=timeout)
        catalog = client.activate_generation(generation)
    if session.json:
        output.print_json(asdict(catalog))
    else:
        _show(catalog.generations)


@app.command("delete")
@in_catalog
def delete(session: Session, generation: GenerationArgument) -> None:
    """Delete a generation that is not the active one, and its vectors."""
    with session.client() as client:
        client.delete_generation(generation)
    if session.json:
        output.print_json({"deleted": generation})
    else:
        output.out().print("deleted")


def _needed(client: Client, *, wait: bool, timeout_s: float) -> Generation:
    """A new generation, or the newest where that has the same models.

    With `wait`, one that is being built is awaited first, rather than refused as FailedPrecondition.
    """
    while True:
        try:
            return client.create_generation()
        except FailedPrecondition as error:
            is_built = error.reason == "SAME_GENERATION"
            if not is_built and not (wait and error.reason == "BUILDING"):
                raise
        newest = client.get_catalog().generations[-1]
        if is_built:
            output.say(f"{newest.id} has these models already")
            return newest
        output.say(f"{newest.id} is being built; waiting for it")
        client.await_generation(newest.id, timeout_s=timeout_s)


def _tell(session: Session, generation: Generation) -> None:
    if session.json:
        output.print_json(asdict(generation))
    else:
        _show([generation])


def _show(generations: Sequence[Generation]) -> None:
    tables.show(
        ("generation", "state", "products", "spaces", ""),
        (
            (each.id, each.state, str(each.products), " ".join(each.spaces), each.problem)
            for each in generations
        ),
        nothing="no generations",
    )

"""The command `vitrine`.

Exit status: 0 done, 1 failed, 2 asked wrongly, 3 some rows of a catalogue failed while the others were
indexed, 130 interrupted.
"""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from services.mesh.errors import VitrineError
from vitrine.cli import (
    catalogs,
    demo,
    down,
    evaluate,
    feedback,
    generations,
    index,
    keys,
    models,
    output,
    products,
    queries,
    search,
    shards,
    size,
    smoke,
    status,
    train,
    up,
)


class _Commands(TyperGroup):
    """Ends a command that raises a domain error with its message rather than a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except VitrineError as error:
            raise typer.Exit(output.report(ctx, error)) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(output.INTERRUPTED) from error


app = typer.Typer(
    cls=_Commands,
    name="vitrine",
    help="Visual product search on your own machine.",
    epilog="Exit status: 0 done, 1 failed, 2 asked wrongly, 3 some rows failed, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    # Plain help: what typer needs for boxes takes longer to import than everything else together.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("up")(up.up)
app.command("down")(down.down)
app.command("index")(index.index)
app.command("import", hidden=True)(index.index)
app.command("search")(search.search)
app.command("status")(status.status)
app.command("smoke")(smoke.smoke)
app.add_typer(shards.app, name="shards")
app.command("size")(size.size)
app.add_typer(products.app, name="products")
app.add_typer(catalogs.app, name="catalogs")
app.add_typer(generations.app, name="generations")
app.command("feedback")(feedback.feedback)
app.add_typer(queries.app, name="queries")
app.add_typer(keys.app, name="keys")
app.add_typer(models.app, name="models")
app.add_typer(train.app, name="train")
app.command("eval")(evaluate.evaluate)
app.command("demo")(demo.demo)


def main() -> None:
    """Run the command line."""
    app()

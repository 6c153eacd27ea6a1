"""What commands print: results on standard output, all else on standard error."""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import typer

from services.mesh.errors import InvalidArgument, VitrineError

if TYPE_CHECKING:
    from rich.console import Console

OK, FAILED, USAGE, SOME_ROWS_FAILED = 0, 1, 2, 3
# What shells take for ended by Ctrl-C.
INTERRUPTED = 130

_JSON = "vitrine.json"

# Fields that are options, which people know by their dashes.
_OPTIONS = frozenset(
    {
        *("alike", "catalog", "catalog-dir", "checkpoint", "clip", "dump_hits", "filter", "from", "held_out"),
        *("http-port", "image", "k", "labels", "map", "page_token", "port-base", "product", "products"),
        *("profile", "report", "shards", "spaces", "text", "validation", "weight"),
    }
)


def choose_json(context: typer.Context, value: bool) -> bool:
    """Remember that this run prints JSON, for errors too."""
    if value:
        context.meta[_JSON] = True
    return value


def is_json(context: typer.Context) -> bool:
    """Whether this run prints JSON."""
    return bool(context.meta.get(_JSON))


def print_json(value: Any) -> None:
    """One JSON document."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")


@cache
def out() -> Console:
    """The console of results."""
    from rich.console import Console

    return Console(highlight=False)


@cache
def err() -> Console:
    """The console of everything else."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def say(message: str) -> None:
    """Tell what is being done."""
    err().print(message, soft_wrap=True, markup=False)


def report(context: typer.Context, error: VitrineError) -> int:
    """Print an error; the exit status that it ends the command with."""
    field = error.field if isinstance(error, InvalidArgument) else ""
    if is_json(context):
        print_json({"error": {"reason": error.reason, "field": field, "message": error.message}})
    else:
        option = f"--{field.replace('_', '-')}" if field in _OPTIONS else field
        where = f"{option}: " if field else ""
        err().print(f"[bold red]error[/]: {_escaped(where + error.message)}", soft_wrap=True)
    return USAGE if isinstance(error, InvalidArgument) else FAILED


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)

"""What commands print: results on standard output, all else on standard error."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import typer

from services.mesh.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Retryable,
    Unauthenticated,
    VitrineError,
)

if TYPE_CHECKING:
    from rich.console import Console

OK, FAILED, USAGE, SOME_ROWS_FAILED = 0, 1, 2, 3
# What shells take for ended by Ctrl-C.
INTERRUPTED = 130

_JSON = "vitrine.json"

# The gateway speaks of headers, which people have no hand in here.
_NO_KEY = "CREDENTIAL_MISSING"

# Errors that say all there is to say of what was asked.
_OF_THE_REQUEST = (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
)

# Fields that are options, which people know by their dashes.
_OPTIONS = frozenset(
    {
        *("alike", "catalog", "catalog-dir", "catalogs", "checkpoint", "clip", "diversity", "dump_hits"),
        *("etag", "expires", "fields", "filter", "from", "group_by", "held_out", "http-port", "image", "k"),
        *("key", "labels", "map", "min_similarity", "page_token", "place", "port-base", "product"),
        *("products", "profile", "rate_limit_per_s", "report", "shards", "spaces", "text", "tls-ca"),
        *("validation", "weight", "zero_results_only"),
    }
)
# What the gateway calls the fields that these options are.
_FIELDS = {
    "read_mask": "fields",
    "update_mask": "fields",
    "tls": "tls-ca",
    "api_key.catalogs": "catalogs",
    "api_key.expire_time": "expires",
    "api_key.rate_limit_per_s": "rate_limit_per_s",
    "expires": "expires",
}


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
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=_plain) + "\n")


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


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
    """Print an error; the exit status that it ends the command with.

    What the gateway sent of its own state, rather than of what was asked, has the trace id that finds it in
    the gateway's log.
    """
    field = error.field if isinstance(error, InvalidArgument) else ""
    retry_after_s = error.retry_after_s if isinstance(error, Retryable) else 0.0
    notes = [] if isinstance(error, _OF_THE_REQUEST) else getattr(error, "__notes__", [])
    if is_json(context):
        told: dict[str, Any] = {"reason": error.reason, "field": field, "message": error.message}
        if retry_after_s:
            told["retry_after_s"] = retry_after_s
        if notes:
            told["notes"] = notes
        print_json({"error": told})
    else:
        field = _FIELDS.get(field, field)
        option = f"--{field.replace('_', '-')}" if field in _OPTIONS else field
        where = f"{option}: " if field else ""
        again = f"; try again in {retry_after_s:.0f} s" if retry_after_s > 1 else ""
        noted = f" ({', '.join(notes)})" if notes else ""
        hint = " (--key or VITRINE_KEY)" if error.reason == _NO_KEY else ""
        sentence = where + error.message + again + noted + hint
        err().print(f"[bold red]error[/]: {_escaped(sentence)}", soft_wrap=True)
    return USAGE if isinstance(error, InvalidArgument) else FAILED


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)

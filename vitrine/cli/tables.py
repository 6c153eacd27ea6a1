"""Tables for people."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from vitrine.cli import output

if TYPE_CHECKING:
    from rich.table import Table


def table(*headers: str, whole: Collection[str] = ()) -> Table:
    """A table without lines, to which rows are added; columns of the headers in `whole` are never folded."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="dim")
    for header in headers:
        made.add_column(header, overflow="fold", no_wrap=header in whole)
    return made


def show(
    headers: Sequence[str], rows: Iterable[Sequence[str]], *, nothing: str, whole: Collection[str] = ()
) -> None:
    """Print rows under their headers, or tell that there is `nothing`."""
    made = table(*headers, whole=whole)
    _add(made, rows)
    if made.row_count:
        output.out().print(made)
    else:
        output.say(nothing)


def show_record(rows: Iterable[tuple[str, str]]) -> None:
    """Print what there is of one thing, each with its name."""
    made = table("", "")
    made.show_header = False
    _add(made, (row for row in rows if row[1]))
    output.out().print(made)


def _add(made: Table, rows: Iterable[Sequence[str]]) -> None:
    from rich.text import Text

    for row in rows:
        # What a shop wrote may look like markup.
        made.add_row(*map(Text, row))

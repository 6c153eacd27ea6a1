"""What fetching the demo catalogue looks like to the person who waits for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress as Bars
from rich.progress import SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

Progress = Callable[[str, str], None]


@contextmanager
def shown(console: Console) -> Iterator[Progress]:
    """A progress callback for `prepare`: one live line a shop on a terminal, plain lines elsewhere."""
    if not console.is_terminal:
        yield lambda shop, what: console.print(
            f"{shop}: {what}", highlight=False, markup=False, soft_wrap=True
        )
        return
    columns = (
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=console) as bars:
        lines: dict[str, TaskID] = {}

        def tell(shop: str, what: str) -> None:
            if shop in lines:
                bars.update(lines[shop], description=f"{shop}: {what}", completed=1)
            else:
                lines[shop] = bars.add_task(f"{shop}: {what}", total=1)

        yield tell

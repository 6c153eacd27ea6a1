"""`vitrine index`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.mesh.errors import InvalidArgument, VitrineError
from vitrine.cli import output
from vitrine.cli.session import Session, in_catalog

if TYPE_CHECKING:
    from vitrine.catalogs.folder import CatalogFolder
    from vitrine.client import AsyncClient
    from vitrine.client.indexing import RowOutcome

_PLAIN_LINE_EVERY_S = 5.0
_READ_S = 10.0
_SHOWN_PROBLEMS = 10
_LISTED_PROBLEMS = 100


@dataclass
class Summary:
    """What an index run did to a folder of `products`.

    `problems` are the first rows that failed, wholly or with one of their photos; `near_duplicates` counts
    products that show what another shows.
    """

    catalog: str
    products: int
    indexed: int = 0
    unchanged: int = 0
    failed: int = 0
    photo_problems: int = 0
    photos: int = 0
    near_duplicates: int = 0
    duration_s: float = 0.0
    problems: list[RowOutcome] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Products with an outcome; a product that lacks one of several photos has a failed row besides."""
        return min(self.indexed + self.unchanged + self.failed, self.products)

    @property
    def photos_per_s(self) -> float:
        """Photos of indexed products a second."""
        return self.photos / self.duration_s if self.duration_s else 0.0

    @property
    def exit_status(self) -> int:
        """What the command ends with."""
        return output.SOME_ROWS_FAILED if self.failed or self.photo_problems else output.OK

    def add(self, outcome: RowOutcome) -> None:
        """Count one row."""
        match outcome.outcome:
            case "indexed":
                self.indexed += 1
                self.photos += outcome.photos
            case "unchanged":
                self.unchanged += 1
            case "failed":
                self.failed += 1
        self.near_duplicates += bool(outcome.near_duplicates)
        if outcome.has_problem:
            self.photo_problems += outcome.outcome != "failed"
            if len(self.problems) < _LISTED_PROBLEMS:
                self.problems.append(outcome)

    def as_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "catalog": self.catalog,
            "products": self.products,
            "indexed": self.indexed,
            "unchanged": self.unchanged,
            "failed": self.failed,
            "photo_problems": self.photo_problems,
            "photos": self.photos,
            "near_duplicates": self.near_duplicates,
            "photos_per_s": round(self.photos_per_s, 2),
            "duration_s": round(self.duration_s, 3),
            "problems": [
                {"row": row.row, "product": row.product, "outcome": row.outcome, "message": row.message}
                for row in self.problems
            ],
        }

    def __str__(self) -> str:
        text = f"{self.indexed} indexed, {self.unchanged} unchanged, {self.failed} failed"
        if self.photo_problems:
            text += f", {self.photo_problems} with a photo that could not be read"
        if self.near_duplicates:
            text += f", {self.near_duplicates} that look like another"
        return f"{text}; {self.photos_per_s:.1f} photos/s in {self.duration_s:.0f} s"


@in_catalog
def index(
    session: Session,
    source: Annotated[
        Path,
        typer.Argument(
            help="A folder with products.csv and images/, any folder of pictures, or one CSV, TSV or JSON"
            " Lines file."
        ),
    ],
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            help="Which column holds a field: --map price=Cost; may be given several times, for `image` with "
            "several columns.",
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write the outcome of every row to this CSV.")
    ] = None,
) -> None:
    """Index products.

    Photos are files, or addresses that the gateway fetches. What is there and did not change is not sent
    again, so an interrupted run is merely run again. Ends with 3 when some rows failed.
    """
    from vitrine.cli.mesh import expanded
    from vitrine.supervisor.layout import data_dir_default

    try:
        summary = run(
            source,
            catalog=session.catalog or "default",
            connect=lambda: session.asynchronous(read_s=_READ_S),
            data_dir=expanded(session.data_dir, data_dir_default()),
            report=report,
            chosen=_choices(map_ or ()),
        )
    except KeyboardInterrupt:
        output.say("interrupted; run the same command again to go on")
        raise typer.Exit(output.INTERRUPTED) from None
    if session.json:
        output.print_json(summary.as_json())
    else:
        show(summary)
    raise typer.Exit(summary.exit_status)


def run(
    source: Path,
    *,
    catalog: str,
    connect: Callable[[], AsyncClient],
    data_dir: Path,
    report: Path | None = None,
    chosen: Mapping[str, Sequence[str]] | None = None,
) -> Summary:
    """Index a folder or a table, showing what its columns were taken for and how it goes.

    What was written is noted in `data_dir`. Raises InvalidArgument when `source` is neither, and what no
    retry could mend.
    """
    import asyncio

    from vitrine.catalogs.folder import CatalogFolder

    folder = CatalogFolder(source, chosen, fetches=True)
    if folder.table is not None:
        output.say(f"{folder.table.name}: {_columns(folder)}")
    summary = Summary(catalog, folder.product_count)
    with _display(summary) as show_progress, _reporting(report) as write:
        asyncio.run(_index(folder, summary, connect, data_dir, show_progress, write))
    return summary


def _checkpoint_file(data_dir: Path, server: str, catalog: str) -> Path:
    """Where it is noted what was written into a catalogue."""
    import hashlib

    return data_dir / "imports" / f"{hashlib.sha256(f'{server} {catalog}'.encode()).hexdigest()[:16]}.db"


def _choices(given: Iterable[str]) -> dict[str, list[str]]:
    """The columns that were chosen for each field, in order."""
    chosen: dict[str, list[str]] = {}
    for each in given:
        field_name, equals, header = each.partition("=")
        if not (field_name and equals and header):
            raise InvalidArgument("map", f"{each!r} is not field=Column")
        chosen.setdefault(field_name.strip(), []).append(header.strip())
    return chosen


def _columns(folder: CatalogFolder) -> str:
    """What was read from which column, for people: renamed ones with their header."""
    from vitrine.catalogs.columns import ALIASES, is_image

    ours = {name for name in folder.columns if name in ALIASES or is_image(name)}
    known = [
        name if name == header else f"{name} from {header}"
        for name, header in folder.columns.items()
        if name in ours
    ]
    others = [header for name, header in folder.columns.items() if name not in ours]
    return ", ".join(known) + (f"; attributes {', '.join(others)}" if others else "")


def show(summary: Summary) -> None:
    """Print a summary for people."""
    for row in summary.problems[:_SHOWN_PROBLEMS]:
        output.say(f"row {row.row} ({row.product or 'no id'}): {row.message}")
    if len(summary.problems) > _SHOWN_PROBLEMS:
        output.say("... and more; --report FILE.csv lists them all")
    output.out().print(f"{summary.catalog}: {summary}", soft_wrap=True)


async def _index(
    folder: CatalogFolder,
    summary: Summary,
    connect: Callable[[], AsyncClient],
    data_dir: Path,
    show_progress: Callable[[], None],
    write: Callable[[RowOutcome], None],
) -> None:
    from vitrine.client import indexing, operations
    from vitrine.client.checkpoints import Checkpoint

    policy = indexing.Policy()
    start = time.monotonic()

    def tell(error: VitrineError) -> None:
        away = "the gateway does not answer" if error.reason == operations.NO_ANSWER else error.message
        output.say(f"{away}, trying again for up to {policy.patience_s:.0f} s")

    def tell_busy(host: str, error: VitrineError) -> None:
        output.say(f"{host}: {error.message}; its photos are asked for again for {policy.patience_s:.0f} s")

    async with connect() as client:
        client.catalog = summary.catalog
        if await indexing.ensure_catalog(client, policy, on_outage=tell):
            output.say(f"created catalogue {summary.catalog}")
        with Checkpoint(_checkpoint_file(data_dir, client.server, summary.catalog)) as checkpoint:
            async for outcomes in indexing.index(
                client, folder, policy, checkpoint=checkpoint, on_outage=tell, on_busy=tell_busy
            ):
                for outcome in outcomes:
                    summary.add(outcome)
                    write(outcome)
                summary.duration_s = time.monotonic() - start
                show_progress()


@contextmanager
def _display(summary: Summary) -> Iterator[Callable[[], None]]:
    """Show progress: a bar on a terminal, else a line now and then."""
    if not output.err().is_terminal:
        yield _lines(summary)
        return
    from rich import progress

    bar = progress.Progress(
        progress.TextColumn(summary.catalog),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[photos_per_s]:.1f} photos/s"),
        progress.TimeRemainingColumn(),
        progress.TextColumn("[red]{task.fields[problems]}"),
        console=output.err(),
    )
    with bar:
        task = bar.add_task("", total=summary.products, photos_per_s=0.0, problems="")

        def advance() -> None:
            problems = f"{summary.failed} failed" if summary.failed else ""
            bar.update(task, completed=summary.done, photos_per_s=summary.photos_per_s, problems=problems)

        yield advance


def _lines(summary: Summary) -> Callable[[], None]:
    last_s = 0.0

    def advance() -> None:
        nonlocal last_s
        if summary.duration_s - last_s >= _PLAIN_LINE_EVERY_S:
            last_s = summary.duration_s
            output.say(f"{summary.catalog}: {summary.done} of {summary.products}; {summary}")

    return advance


@contextmanager
def _reporting(path: Path | None) -> Iterator[Callable[[RowOutcome], None]]:
    """Write every outcome to a CSV, row by row, so that an interrupted run has reported what it did."""
    if path is None:
        yield lambda _: None
        return
    import csv

    try:
        file = path.open("w", newline="", encoding="utf-8", buffering=1)
    except OSError as error:
        raise InvalidArgument("report", f"{path}: {error.strerror or error}") from error
    with file:
        table = csv.writer(file)
        table.writerow(["row", "product", "outcome", "message", "near_duplicates"])

        def write(row: RowOutcome) -> None:
            table.writerow([row.row, row.product, row.outcome, row.message, "|".join(row.near_duplicates)])

        yield write

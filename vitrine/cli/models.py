"""`vitrine models`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.mesh.errors import FailedPrecondition
from vitrine.cli import output
from vitrine.cli.options import JsonOption, ModelsDirOption

if TYPE_CHECKING:
    from services.embedder.weights import Model, Step

app = typer.Typer(help="List, pull and verify model weights.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_(models_dir: ModelsDirOption = None, json: JsonOption = False) -> None:
    """Tell which models there are; their files are looked for, not read."""
    with _embedder_needed():
        from services.embedder import weights
    _show(weights.list_models(_directory(models_dir)), json=json)


@app.command("verify")
def verify(models_dir: ModelsDirOption = None, json: JsonOption = False) -> None:
    """Read every file and compare its digest; ends with 1 when one is missing or damaged."""
    with _embedder_needed():
        from services.embedder import weights
    models = weights.verify(_directory(models_dir))
    _show(models, json=json)
    if any(model.problem for model in models):
        raise typer.Exit(output.FAILED)


@app.command("pull")
def pull(
    models_dir: ModelsDirOption = None,
    clip: Annotated[
        str | None, typer.Option("--clip", help="ARCHITECTURE:TAG or ARCHITECTURE:FILE in open_clip's words.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Fetch what is missing, and prepare it; what is whole stays as it is."""
    models = pull_all(_directory(models_dir), clip=clip)
    _show(models, json=json)
    if any(model.problem for model in models):
        raise typer.Exit(output.FAILED)


def pull_all(models_dir: Path, *, clip: str | None = None) -> Sequence[Model]:
    """Pull and prepare every model, showing how it goes."""
    with _embedder_needed():
        from services.trainer import prepare
    models_dir.mkdir(parents=True, exist_ok=True)
    with _display() as show:
        return prepare.prepare(models_dir, show, clip=clip)


def _directory(models_dir: Path | None) -> Path:
    from services.mesh.models_dir import models_dir_default
    from vitrine.cli.mesh import expanded

    return expanded(models_dir, models_dir_default())


@contextmanager
def _embedder_needed() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise FailedPrecondition(
            f"models need the embedder's packages ({error.name} is missing): pip install 'vitrine[embedder]'",
            reason="EXTRA_MISSING",
        ) from error


@contextmanager
def _display() -> Iterator[Callable[[Step], None]]:
    """Show progress: a bar a model on a terminal, else a line for each thing that is begun."""
    if not output.err().is_terminal:
        yield _lines()
        return
    from rich import progress

    bars: dict[str, Any] = {}
    with progress.Progress(
        progress.TextColumn("{task.fields[model]:<10}"),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TextColumn("{task.description}"),
        console=output.err(),
    ) as shown:

        def show(step: Step) -> None:
            if step.model not in bars:
                bars[step.model] = shown.add_task("", total=1.0, model=step.model)
            shown.update(bars[step.model], completed=step.share, description=step.doing)

        yield show


def _lines() -> Callable[[Step], None]:
    last: dict[str, str] = {}

    def show(step: Step) -> None:
        if last.get(step.model) != step.doing:
            last[step.model] = step.doing
            output.say(f"{step.model}: {step.doing}")

    return show


def _show(models: Sequence[Model], *, json: bool) -> None:
    if json:
        output.print_json({"models": [_as_json(model) for model in models]})
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    for header in ("model", "MiB", "architecture", "source", ""):
        table.add_column(header, overflow="fold")
    for model in models:
        problem = Text(model.problem or "ok", style="red" if model.problem else "green")
        mib = f"{model.size_bytes / (1 << 20):.0f}"
        table.add_row(model.name, mib, model.architecture, model.source, problem)
    output.out().print(table)


def _as_json(model: Model) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(model)

"""`vitrine models`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.mesh.errors import FailedPrecondition, InvalidArgument
from vitrine.cli import output, progress
from vitrine.cli.options import JsonOption, ModelsDirOption

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from services.embedder.towers import Space
    from services.embedder.weights import Model

app = typer.Typer(
    help="List, show, pull and verify models and their weights.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("list")
def list_(models_dir: ModelsDirOption = None, json: JsonOption = False) -> None:
    """Tell which models there are, and which spaces they make; their files are looked for, not read."""
    with _embedder_needed():
        from services.embedder import towers, weights
    directory = _directory(models_dir)
    _show(weights.list_models(directory), towers.survey(directory), json=json)


@app.command("show")
def show(
    space: Annotated[str, typer.Argument(help="The space, such as clip.")],
    models_dir: ModelsDirOption = None,
    json: JsonOption = False,
) -> None:
    """Show the model card of a space: what its model is, how well it does, and what it is good for."""
    with _embedder_needed():
        from services.embedder import towers
    spaces = {each.name: each for each in towers.survey(_directory(models_dir))}
    if space not in spaces:
        raise InvalidArgument("space", f"there is no space {space}, there are {', '.join(spaces)}")
    found = spaces[space]
    if json:
        output.print_json({**_space(found), "card": found.card})
        return
    if output.out().is_terminal:
        from rich.markdown import Markdown

        output.out().print(Markdown(found.card))
    else:
        typer.echo(found.card, nl=False)
    if found.unavailable_reason:
        output.say(f"{space} is not available: {found.unavailable_reason}")


@app.command("verify")
def verify(models_dir: ModelsDirOption = None, json: JsonOption = False) -> None:
    """Read every file and compare its digest; ends with 1 when one is missing, damaged or does not fit."""
    with _embedder_needed():
        from services.embedder import towers, weights
    directory = _directory(models_dir)
    models, spaces = weights.verify(directory), towers.survey(directory, thorough=True)
    _show(models, spaces, json=json)
    if any(model.problem for model in models) or any(space.unavailable_reason for space in spaces):
        raise typer.Exit(output.FAILED)


@app.command("pull")
def pull(
    names: Annotated[list[str] | None, typer.Argument(help="Models; all when none is named.")] = None,
    models_dir: ModelsDirOption = None,
    sources: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="NAME=PATH",
            help="Take a model from there: resnet50=FILE, minilm=DIRECTORY, clip=ARCHITECTURE:FILE.",
        ),
    ] = None,
    clip: Annotated[
        str | None,
        typer.Option(
            "--clip", help="ARCHITECTURE:TAG or ARCHITECTURE:FILE in open_clip's words, or dual-encoder."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Fetch what is missing, and prepare it; what is whole stays as it is."""
    given = _given(sources or (), clip)
    models = pull_all(_directory(models_dir), names=names, given=given)
    from services.embedder import towers

    _show(models, towers.survey(_directory(models_dir)), json=json)
    if any(model.problem for model in models):
        raise typer.Exit(output.FAILED)


def pull_all(
    models_dir: Path, *, names: Sequence[str] | None = None, given: Mapping[str, str] | None = None
) -> Sequence[Model]:
    """Pull and prepare the named models, or all, showing how it goes; `given` is that of `weights.pull`."""
    with _embedder_needed():
        from services.embedder import weights
        from services.trainer import prepare
    models_dir.mkdir(parents=True, exist_ok=True)
    with progress.steps() as show:
        return prepare.prepare(models_dir, show, names=names or weights.MODELS, given=given)


def _given(sources: Sequence[str], clip: str | None) -> dict[str, str]:
    """Which model is to come from where."""
    given = {} if clip is None else {"clip": clip}
    for source in sources:
        name, _, where = source.partition("=")
        if not where:
            raise InvalidArgument("from", f"wanted NAME=PATH, got {source!r}")
        if name in given:
            raise InvalidArgument("from", f"told twice where {name} comes from")
        given[name] = where
    return given


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


def _show(models: Sequence[Model], spaces: Sequence[Space], *, json: bool) -> None:
    if json:
        output.print_json(
            {
                "models": [_model(each) for each in models],
                "spaces": [_space(each) for each in spaces],
            }
        )
        return
    files = _table("model", "architecture", "MiB", "source", "")
    for model in models:
        mib = f"{model.size_bytes / (1 << 20):.0f}"
        architecture = model.architecture or (model.name if model.files else "")
        files.add_row(model.name, architecture, mib, model.source, _state(model.problem))
    made = _table("space", "model", "digest", "")
    for space in spaces:
        made.add_row(space.name, space.model, space.digest[:12], _state(space.unavailable_reason))
    output.out().print(files, "", made)
    # Below the tables, where there is room for a command that can be copied.
    problems = {model.name: model.problem for model in models if model.problem}
    for space in spaces:
        if space.unavailable_reason:
            problems.setdefault(space.name, space.unavailable_reason)
    for name, problem in problems.items():
        output.out().print(f"{name}: {problem}", soft_wrap=True, markup=False)


def _table(*headers: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for header in headers:
        table.add_column(header, overflow="fold", justify="right" if header == "MiB" else "left")
    return table


def _state(problem: str) -> Text:
    from rich.text import Text

    return Text("no", style="red") if problem else Text("ok", style="green")


def _model(model: Model) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(model)


def _space(space: Space) -> dict[str, Any]:
    return {
        "space": space.name,
        "model": space.model,
        "digest": space.digest,
        "unavailable_reason": space.unavailable_reason,
    }

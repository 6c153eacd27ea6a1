"""`vitrine train`."""

from __future__ import annotations

import functools
import inspect
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from services.mesh.errors import FailedPrecondition, InvalidArgument
from services.mesh.profiles import DEFAULT
from vitrine.cli import output, progress
from vitrine.cli.options import JsonOption, ModelsDirOption

if TYPE_CHECKING:
    from services.trainer.recipes import Mixture, Schedule
    from services.trainer.training import Data, Workshop

app = typer.Typer(
    help="Train heads on catalogues: from features that are computed once, in minutes.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Figures = Mapping[str, Mapping[str, float]]

_CACHE = Path("~/.cache/vitrine")

Catalogues = Annotated[
    list[Path],
    typer.Argument(metavar="CATALOGUES", help="Folders: products.csv and images/, or one zip of these."),
]
HeldOutOption = Annotated[
    Path | None, typer.Option("--held-out", help="Product ids, one a line, that no part may train on.")
]
ValidationOption = Annotated[
    float, typer.Option("--validation", help="Share of products that tell when to stop.", min=0.01, max=0.5)
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", help="Where weights and card go; among the shipped heads.")
]
CacheOption = Annotated[Path, typer.Option("--cache", help="Where features and unfinished runs are kept.")]
DeviceOption = Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where to compute.")]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on with an unfinished run of the same kind.")
]
EpochsOption = Annotated[int | None, typer.Option("--epochs", help="At most so many; the recipe's.", min=1)]
SeedOption = Annotated[int, typer.Option("--seed", help="Of everything that is drawn.", min=0)]
WeightOption = Annotated[
    list[str] | None,
    typer.Option(
        "--weight", metavar="CATALOGUE=FACTOR", help="Show a catalogue's photos more often, or less."
    ),
]
SpacesOption = Annotated[str, typer.Option("--spaces", help="What probes look at, by commas.")]

Objective = Literal["batch_hard", "soft_margin", "normalised_softmax", "arcface", "multi_similarity", "mixed"]


@dataclass(frozen=True, slots=True)
class _Choices:
    """The options that all parts share."""

    catalogues: list[Path]
    held_out: Path | None
    validation: float
    models_dir: Path | None
    output: Path | None
    cache: Path
    device: Literal["auto", "cpu", "cuda"]
    resume: bool
    epochs: int | None
    seed: int
    weight: list[str]
    json: bool

    def schedule(self, recipe: Schedule) -> Schedule:
        """The recipe's schedule with what was chosen here."""
        from dataclasses import replace

        return replace(recipe, epochs=self.epochs or recipe.epochs, seed=self.seed)

    def mixture(self, recipe: Mixture) -> Mixture:
        """The recipe's mixture with the weights chosen here."""
        from dataclasses import replace

        return replace(recipe, factors=self.factors())

    def factors(self) -> tuple[tuple[str, float], ...]:
        """How much more often catalogues are shown than usual. Raises InvalidArgument for no weight."""
        factors = []
        for text in self.weight:
            name, _, factor = text.rpartition("=")
            if not name or not re.fullmatch(r"\d+(\.\d+)?", factor) or not float(factor):
                raise InvalidArgument(
                    "weight", f"wanted CATALOGUE=FACTOR with a factor above 0, got {text!r}"
                )
            factors.append((name, float(factor)))
        return tuple(factors)


def _chosen(
    folders: Catalogues,
    held_out: HeldOutOption = None,
    validation: ValidationOption = 0.1,
    models_dir: ModelsDirOption = None,
    output_dir: OutputOption = None,
    cache: CacheOption = _CACHE,
    device: DeviceOption = "auto",
    resume: ResumeOption = False,
    epochs: EpochsOption = None,
    seed: SeedOption = 0,
    weight: WeightOption = None,
    json: JsonOption = False,
) -> _Choices:
    return _Choices(
        folders,
        held_out,
        validation,
        models_dir,
        output_dir,
        cache,
        device,
        resume,
        epochs,
        seed,
        weight or [],
        json,
    )


def _training(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers a command that takes the shared options besides its own, and gets them as `choices`."""

    def register(command: Callable[..., None]) -> Callable[..., None]:
        shared = inspect.signature(_chosen, eval_str=True).parameters
        own = inspect.signature(command, eval_str=True).parameters

        @functools.wraps(command)
        def run(**given: Any) -> None:
            command(_chosen(**{each: given.pop(each) for each in shared}), **given)

        # Arguments first, then what the command alone has: typer shows them in this order.
        folders, *options = shared.values()
        parameters = [folders, *(own[each] for each in own if each != "choices"), *options]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # as inspect reads it
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return app.command(name)(run)

    return register


@_training("triplet")
def triplet(
    choices: _Choices,
    labels: Annotated[
        str, typer.Option("--labels", help="What alike means: gender, category, type, master, colour.")
    ] = "category,type",
    objective: Annotated[Objective, typer.Option("--objective", help="What is minimised.")] = "mixed",
    compare: Annotated[
        bool, typer.Option("--compare", help="Train by every objective, show all, keep the best.")
    ] = False,
    unfreeze_last_stage: Annotated[
        bool,
        typer.Option(
            "--unfreeze-last-stage", help="Then train the trunk's last stage too, from images: slow."
        ),
    ] = False,
) -> None:
    """Train the 128-d head of the triplet space."""
    wanted = _words("labels", labels)
    with _bench(choices, captions=False) as (shop, data):
        from services.trainer import recipes, training

        recipe = _metric(choices, labels=wanted, objective=objective)
        from dataclasses import replace

        names = recipes.OBJECTIVES if compare else (objective,)
        table = training.triplet(
            shop,
            data,
            [replace(recipe, objective=name) for name in names],
            last_stage=choices.schedule(recipes.LAST_STAGE) if unfreeze_last_stage else None,
        )
    _show({"triplet": table}, shop.output, json=choices.json)


@_training("colour")
def colour(
    choices: _Choices,
) -> None:
    """Train the 64-d head of the colour space."""
    with _bench(choices, captions=False) as (shop, data):
        table = _colour(choices, shop, data)
    _show({"colour": table}, shop.output, json=choices.json)


@_training("clip")
def clip(
    choices: _Choices,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            "--checkpoint", metavar="ARCHITECTURE:FILE", help="Tune this open_clip checkpoint instead."
        ),
    ] = None,
    unfreeze: Annotated[
        int, typer.Option("--unfreeze", help="Last layers of a checkpoint's towers to train.", min=0)
    ] = 1,
) -> None:
    """Train the dual encoder of pictures and texts, or tune a checkpoint of open_clip."""
    chosen = _architecture_and_file(checkpoint) if checkpoint is not None else None
    with _bench(choices, captions=chosen is None) as (shop, data):
        if chosen is None:
            table = _clip(choices, shop, data)
        else:
            table = _checkpoint(choices, shop, data, *chosen, unfreeze)
    _show({"clip": table}, shop.output, json=choices.json)


@_training("probes")
def probes(
    choices: _Choices,
    labels: Annotated[
        str, typer.Option("--labels", help="One probe for each of gender, category, type, master, colour.")
    ] = "gender,type",
    spaces: SpacesOption = "resnet50",
) -> None:
    """Train calibrated heads that tell gender and type from vectors."""
    tasks, inputs = _words("labels", labels), spaces.split(",")
    with _bench(choices, captions=False) as (shop, data):
        table = _probes(choices, shop, data, tasks, inputs)
    _show({"probes": table}, shop.output, json=choices.json)


@_training("all")
def all_(
    choices: _Choices,
    spaces: SpacesOption = "resnet50",
) -> None:
    """Train all heads and probes, and note the photos that were trained on."""
    tables: dict[str, Figures] = {}
    with _bench(choices, captions=True, anew=True) as (shop, data):
        from services.trainer import recipes, training

        tables["triplet"] = training.triplet(
            shop, data, [_metric(choices, labels=recipes.TRIPLET.labels, objective=recipes.TRIPLET.objective)]
        )
        tables["colour"] = _colour(choices, shop, data)
        tables["clip"] = _clip(choices, shop, data)
        tables["probes"] = _probes(choices, shop, data, tuple(recipes.PROBES), spaces.split(","))
    _show(tables, shop.output, json=choices.json)


@app.command("split")
def split(
    folder: Annotated[Path, typer.Argument(help="A catalogue.", metavar="CATALOGUE")],
    validation: Annotated[float, typer.Option("--validation", help="Share of products.")] = 0.1,
    test: Annotated[float, typer.Option("--test", help="Share of products.")] = 0.35,
    output_dir: Annotated[Path, typer.Option("--output", help="Folder of the three files.")] = Path(),
    json: JsonOption = False,
) -> None:
    """Write the product ids of a training, a validation and a test part; the same ones every time."""
    with _trainer_needed():
        from services.trainer import catalogues, splits
    photos = catalogues.read(folder.resolve())
    paths = splits.write(photos, output_dir, validation_share=validation, test_share=test)
    counts = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    if json:
        output.print_json({"files": {str(output_dir / name): count for name, count in counts.items()}})
    else:
        for name, count in counts.items():
            output.out().print(f"{count:>7,}  {output_dir / name}", soft_wrap=True, markup=False)


def _metric(choices: _Choices, *, labels: tuple[str, ...], objective: Objective) -> Any:
    from dataclasses import replace

    from services.trainer.recipes import TRIPLET

    return replace(
        TRIPLET,
        labels=labels,
        objective=objective,
        schedule=choices.schedule(TRIPLET.schedule),
        mixture=choices.mixture(TRIPLET.mixture),
    )


def _colour(choices: _Choices, shop: Workshop, data: Data) -> Figures:
    from dataclasses import replace

    from services.trainer import training
    from services.trainer.recipes import COLOUR

    schedule, mixture = choices.schedule(COLOUR.schedule), choices.mixture(COLOUR.mixture)
    return training.colour(shop, data, replace(COLOUR, schedule=schedule, mixture=mixture))


def _clip(choices: _Choices, shop: Workshop, data: Data) -> Figures:
    from dataclasses import replace

    from services.trainer import training
    from services.trainer.recipes import CLIP

    schedule, mixture = choices.schedule(CLIP.schedule), choices.mixture(CLIP.mixture)
    return training.clip(shop, data, replace(CLIP, schedule=schedule, mixture=mixture))


def _architecture_and_file(wanted: str) -> tuple[str, Path]:
    architecture, _, file = wanted.partition(":")
    path = Path(file).expanduser()
    if not file or not path.is_file():
        raise InvalidArgument(
            "checkpoint", f"wanted ARCHITECTURE:FILE with a file that is there, got {wanted!r}"
        )
    return architecture, path


def _checkpoint(
    choices: _Choices, shop: Workshop, data: Data, architecture: str, path: Path, unfreeze: int
) -> Figures:
    from dataclasses import replace

    from services.trainer import training
    from services.trainer.recipes import CHECKPOINT

    recipe = replace(
        CHECKPOINT,
        unfrozen_layers=unfreeze,
        schedule=choices.schedule(CHECKPOINT.schedule),
        mixture=choices.mixture(CHECKPOINT.mixture),
    )
    return training.checkpoint(shop, data, architecture, path, recipe)


def _probes(
    choices: _Choices, shop: Workshop, data: Data, tasks: Sequence[str], spaces: Sequence[str]
) -> Figures:
    from dataclasses import replace

    from services.trainer import training
    from services.trainer.recipes import PROBES

    recipes = {}
    for task in tasks:
        # A label without a recipe of its own, such as `category`, is told as types are.
        recipe = PROBES.get(task, PROBES["type"])
        schedule, mixture = choices.schedule(recipe.schedule), choices.mixture(recipe.mixture)
        recipes[task] = replace(recipe, schedule=schedule, mixture=mixture)
    return training.probes(shop, data, recipes, spaces)


def _words(field: str, text: str) -> tuple[str, ...]:
    with _trainer_needed():
        from services.trainer.catalogues import LABELS
    words = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    for word in words:
        if word not in LABELS:
            raise InvalidArgument(field, f"no label {word!r}, there are {', '.join(LABELS)}")
    if not words:
        raise InvalidArgument(field, f"wanted some of {', '.join(LABELS)}")
    return words


@contextmanager
def _bench(choices: _Choices, *, captions: bool, anew: bool = False) -> Iterator[tuple[Workshop, Data]]:
    """What a training needs; what unfinished runs left is removed when the block ends well."""
    with _trainer_needed():
        from services.embedder import devices, weights
        from services.mesh.models_dir import models_dir_default
        from services.trainer import splits, training
        from services.trainer.sources import Sources
    # What is asked wrongly is told before anything is computed.
    choices.factors()
    cache = choices.cache.expanduser()
    held_out = splits.read_ids(choices.held_out, field="held_out") if choices.held_out else frozenset[str]()
    placement = devices.choose(choices.device)
    with progress.steps() as show:
        sources = Sources(
            choices.models_dir or models_dir_default(), cache / "features", show, device=choices.device
        )
        everything = sources.material(sources.photos(choices.catalogues), captions=captions)
        data = training.prepared(
            everything, placement.device, validation_share=choices.validation, held_out=held_out
        )
        shop = training.Workshop(
            sources,
            choices.output or weights.HEADS_DIR,
            cache / "training",
            placement.device,
            resume=choices.resume,
        )
        try:
            yield shop, data
        finally:
            # Of several heads some may be there although another one failed.
            if shop.runs:
                output.say("noting the photos that were trained on")
                training.note_seen(data, shop.output, anew=anew)
    shop.finish()


@contextmanager
def _trainer_needed() -> Iterator[None]:
    # Threads that wait for each other in small layers give their core away instead of spinning: on two busy
    # cores a step of the triplet head took 130 ms so and 1,800 ms otherwise. Torch reads it when imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        yield
    except ModuleNotFoundError as error:
        raise FailedPrecondition(
            f"training needs its own packages ({error.name} is missing): pip install 'vitrine[trainer]'",
            reason="EXTRA_MISSING",
        ) from error


def _show(tables: Mapping[str, Figures], directory: Path, *, json: bool) -> None:
    if json:
        output.print_json({"output": str(directory), "validation": tables})
        return
    from rich.table import Table

    for columns in tables.values():
        names = dict.fromkeys(name for figures in columns.values() for name in figures)
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("", no_wrap=True)
        for column in columns:
            table.add_column(column.replace("_", " "), justify="right")
        for name in names:
            table.add_row(name, *(_figure(figures.get(name)) for figures in columns.values()))
        output.out().print(table, "")
    output.out().print(
        f"figures are of validation photos; {directory} has the weights and their card",
        soft_wrap=True,
        markup=False,
    )


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value.is_integer() and value > 1 else f"{value:.3f}"


@app.command("weights")
def weights(
    folder: Annotated[
        Path, typer.Argument(help="A folder with products.csv and images/.", metavar="CATALOGUE")
    ],
    products: Annotated[
        Path | None,
        typer.Option("--products", help="A file of ids, one a line: only these products exist."),
    ] = None,
    profile: Annotated[str, typer.Option("--profile", help="Whose weights to fit.")] = DEFAULT,
    alike: Annotated[
        str,
        typer.Option(
            "--alike", help="What right answers share with a photo: gender, category, type, colour."
        ),
    ] = "gender,category",
    models_dir: ModelsDirOption = None,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Fit a profile's weights, and compare them with those set by hand. Nothing is written."""
    with _trainer_needed():
        from services.mesh.models_dir import models_dir_default
        from services.trainer import splits, weighing, weighing_report
        from services.trainer.evaluation import catalogue
        from services.trainer.evaluation.embedding import Models
        from services.trainer.seen import Seen
    from vitrine.catalogs.folder import CatalogFolder
    from vitrine.cli.mesh import expanded

    models_at = expanded(models_dir, models_dir_default())
    only = None if products is None else splits.read_ids(products, field="products")
    found = catalogue.read(CatalogFolder(folder), only)
    with progress.stages() as begin:
        result = weighing.weigh(
            found,
            Models.of(models_at),
            models_dir=models_at,
            cache=models_at.parent / "evaluation",
            seen=Seen.by(models_at),
            choices=weighing.Choices(
                profile, tuple(word.strip() for word in alike.split(",") if word.strip()), seed
            ),
            begin=begin,
        )
    for warning in result.warnings:
        output.err().print(f"[bold yellow]warning[/]: {warning}", soft_wrap=True)
    if json:
        output.print_json(weighing_report.document(result))
        return
    output.out().print(
        f"{result.answers:,} right and wrong answers to {result.queries:,} photos of {len(found.products):,}"
        " products; every photo was asked with the weights of the half that it is not in",
        soft_wrap=True,
    )
    output.out().print("", weighing_report.table(result), "", soft_wrap=True)
    for name, entry in weighing_report.literals(result).items():
        output.out().print(f"{name}\n    {entry}", soft_wrap=True, markup=False)

"""`vitrine eval`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.mesh.errors import FailedPrecondition, InvalidArgument
from vitrine.cli import output, progress
from vitrine.cli.options import JsonOption, ModelsDirOption

if TYPE_CHECKING:
    from services.trainer.evaluation.measurement import Choices, Evaluation


def evaluate(
    directory: Annotated[
        Path, typer.Argument(help="A folder with products.csv and images/, or any folder of pictures.")
    ],
    sample: Annotated[
        int | None, typer.Option("--sample", min=1, help="Ask so many products only, drawn by --seed.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Which products --sample draws.")] = 0,
    products: Annotated[
        Path | None, typer.Option("--products", help="A file of ids, one a line: only these products exist.")
    ] = None,
    exclude_group: Annotated[
        bool, typer.Option("--exclude-group", help="Products of the query's group_id do not count as finds.")
    ] = False,
    query_metadata: Annotated[
        bool,
        typer.Option("--query-metadata", help="Let profiles know what the shop states of a query's product."),
    ] = False,
    unseen_only: Annotated[
        bool, typer.Option("--unseen-only", help="Leave out photos that the weights were trained on.")
    ] = False,
    dump_hits: Annotated[
        Path | None, typer.Option("--dump-hits", help="Write the ranked ids of every query, JSON lines.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write a page with all figures and the worst failures.")
    ] = None,
    models_dir: ModelsDirOption = None,
    json: JsonOption = False,
) -> None:
    """Measure how well the products of a folder are found, in every space and profile.

    Each product's first photo asks for others like it, each title for its own product. Vectors are kept
    beside the models, so that a second run is quick.
    """
    for field, path in (("dump_hits", dump_hits), ("report", report)):
        # What cannot be written is told before minutes are spent on it.
        if path is not None and not path.resolve().parent.is_dir():
            raise InvalidArgument(field, f"{path.parent} is not a folder")
    with _trainer_needed():
        from services.trainer.evaluation import document, hits, page, tables
        from services.trainer.evaluation.measurement import Choices
    choices = Choices(sample, seed, exclude_group, query_metadata, unseen_only)
    evaluation = measure(directory, choices, products=products, models_dir=models_dir)
    figures = document.of(evaluation)
    if dump_hits is not None:
        hits.dump(evaluation, dump_hits)
    if report is not None:
        page.write(evaluation, figures, directory.resolve().name, report)
    if json:
        output.print_json(figures)
        return
    _print_counts(evaluation)
    for table in tables.of(figures):
        output.out().print("", table)


def measure(
    directory: Path, choices: Choices, *, products: Path | None = None, models_dir: Path | None = None
) -> Evaluation:
    """Evaluate a folder, showing how it goes; warnings are told on stderr.

    Raises InvalidArgument when it is no catalogue folder, and FailedPrecondition where models are missing.
    """
    from services.mesh.models_dir import models_dir_default
    from services.trainer import splits
    from services.trainer.evaluation import catalogue, measurement
    from services.trainer.evaluation.embedding import Models
    from services.trainer.seen import Seen
    from vitrine.catalogs.folder import CatalogFolder
    from vitrine.cli.mesh import expanded

    models_at = expanded(models_dir, models_dir_default())
    only = None if products is None else splits.read_ids(products, field="products")
    found = catalogue.read(CatalogFolder(directory), only)
    with progress.stages() as begin:
        evaluation = measurement.evaluate(
            found,
            Models.of(models_at),
            models_dir=models_at,
            cache=models_at.parent / "evaluation",
            seen=Seen.by(models_at),
            choices=choices,
            begin=begin,
        )
    for warning in evaluation.warnings:
        output.err().print(f"[bold yellow]warning[/]: {warning}", soft_wrap=True)
    return evaluation


@contextmanager
def _trainer_needed() -> Iterator[None]:
    # As the ranker is run, and for the same reason; libraries read it when they are imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        yield
    except ModuleNotFoundError as error:
        raise FailedPrecondition(
            f"evaluating needs the trainer's packages ({error.name} is missing):"
            " pip install 'vitrine[trainer]'",
            reason="EXTRA_MISSING",
        ) from error


def _print_counts(evaluation: Evaluation) -> None:
    catalogue = evaluation.catalogue
    output.out().print(
        f"{len(catalogue.products):,} products with {len(catalogue.photos):,} photos;"
        f" {len(evaluation.queries):,} photos and {len(evaluation.text_queries):,} titles asked;"
        f" {evaluation.exclusions.doubles:,} pairs of products show the same picture;"
        " each figure with its 95% interval",
        soft_wrap=True,
    )

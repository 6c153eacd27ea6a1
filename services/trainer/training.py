"""Each part from material to exported weights, with its card, its log and its curves."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors.torch import save, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from services.embedder import devices, weights
from services.embedder.devices import Placement
from services.embedder.models import colour as colour_space
from services.embedder.models import dual_encoder, resnet50
from services.embedder.models.family import Folder
from services.embedder.models.triplet import TunedHead
from services.embedder.weights import Step
from services.mesh.errors import InvalidArgument
from services.mesh.registries import sha256
from services.trainer import cards, curves, figures, loop, runs, seen, splits
from services.trainer.cards import Entry
from services.trainer.catalogues import Photo
from services.trainer.checkpoint_lesson import CheckpointLesson
from services.trainer.contrastive_lesson import ContrastiveLesson
from services.trainer.loop import Lesson, Outcome
from services.trainer.material import Material, Rows
from services.trainer.metric_lesson import MetricLesson
from services.trainer.probe_lesson import ProbeLesson
from services.trainer.recipes import (
    VALIDATION_PHOTOS,
    CheckpointRecipe,
    ContrastiveRecipe,
    MetricRecipe,
    ProbeRecipe,
    Recipe,
    Schedule,
)
from services.trainer.runs import Run
from services.trainer.seen import Seen
from services.trainer.sources import Sources
from services.trainer.splits import Split
from services.trainer.stage_lesson import StageLesson

TRIPLET_FILE = "triplet.safetensors"
CLIP_FILE = "dual_encoder.safetensors"
CHECKPOINT_FILE = "clip.safetensors"
PROBES_FILE = "probes.safetensors"

T = TypeVar("T")


@dataclass(slots=True)
class Workshop:
    """Where and how everything of one call is trained: `output` gets exports, `work` what a kill leaves."""

    sources: Sources
    output: Path
    work: Path
    device: torch.device
    resume: bool
    runs: list[Run] = field(default_factory=list)

    def fit(self, name: str, lesson: Lesson, recipe: Recipe, data: Data) -> Outcome:
        """Trains a lesson, in a run of its own that is kept until `finish`."""
        parts = (data.train.photos, data.validation.photos)
        run = Run(
            self.work,
            name,
            runs.fingerprint(recipe, [*data.models.values()], *parts),
            resume=self.resume,
        )
        self.runs.append(run)
        return loop.fit(lesson, recipe.schedule, run, self.sources.progress)

    def finish(self) -> None:
        """Removes the state of all runs: they are exported."""
        for run in self.runs:
            run.finish()


@dataclass(frozen=True, slots=True)
class Data:
    """Material to train on and to validate with, on the device that trains.

    `split` has rows of `photos`, which are all there are; `note` tells what was held out. `models` are the
    digests of what the result depends on, by name.
    """

    photos: tuple[Photo, ...]
    split: Split
    train: Material
    validation: Material
    note: str
    models: Mapping[str, str] = field(default_factory=dict)


def prepared(
    everything: Material,
    device: torch.device,
    *,
    validation_share: float,
    held_out: Collection[str] = (),
) -> Data:
    """The material in its parts. Raises as `splits.split`."""
    split = splits.split(
        everything.photos, everything.features, validation_share=validation_share, held_out=held_out
    )
    listed = hashlib.sha256("\n".join(sorted(held_out)).encode()).hexdigest()[:12]
    note = (
        f"{len(held_out):,} products were held out (sha256 of their sorted ids {listed})." if held_out else ""
    )
    few = _few(split.validation)
    train, validation = (everything.take(rows).to(device) for rows in (split.train, few))
    return Data(everything.photos, split, train, validation, note)


def triplet(
    shop: Workshop, data: Data, candidates: Sequence[MetricRecipe], last_stage: Schedule | None = None
) -> dict[str, dict[str, float]]:
    """Trains a head by each recipe and exports the best by its score.

    With a schedule for it the trunk's last stage is trained too, with the best head, and exported with it.
    The figures of the trunk's own features, of each recipe's objective, and of the head with a stage of its
    own (`last_stage`), on the validation photos.
    """
    started = time.perf_counter()
    data = replace(data, models={"trunk": shop.sources.trunk})
    table = {"resnet50": figures.of_images(_unit(data.validation.features), data.validation.photos)}
    best: tuple[Outcome, MetricLesson, MetricRecipe] | None = None
    for recipe in candidates:
        lesson = MetricLesson(data.train, data.validation, recipe)
        outcome = shop.fit(f"triplet-{recipe.objective}", lesson, recipe, data)
        table[recipe.objective] = dict(outcome.best.figures)
        if best is None or outcome.best.score > best[0].best.score:
            best = outcome, lesson, recipe
    assert best is not None, "there is at least one recipe"
    outcome, lesson, recipe = best
    head: nn.Module = lesson.head
    trained = {"triplet": (recipe, outcome)}
    if last_stage is not None:
        tuned = replace(recipe, schedule=last_stage)
        head, trained["last_stage"] = _with_stage(shop, data, lesson, tuned)
        table["last_stage"] = dict(trained["last_stage"][1].best.figures)
    _export(head, shop.output / TRIPLET_FILE, {"trunk": shop.sources.trunk})
    _document(shop, data, TRIPLET_FILE, trained, table, started)
    return table


def colour(shop: Workshop, data: Data, recipe: MetricRecipe) -> dict[str, dict[str, float]]:
    """Trains and exports the head of the space `colour`.

    The figures of the plain histograms, and of the head, on the validation photos.
    """
    started = time.perf_counter()
    data = replace(data, models={"trunk": shop.sources.trunk})
    counted = torch.from_numpy(shop.sources.colours(data.photos))
    histograms = tuple(
        counted[torch.from_numpy(rows)].to(shop.device)
        for rows in (data.split.train, _few(data.split.validation))
    )
    train, validation = (
        replace(part, features=colour_space.joined(counts, part.features))
        for part, counts in zip((data.train, data.validation), histograms, strict=True)
    )
    table = {"histograms": figures.of_images(_unit(histograms[1]), validation.photos, recipe.score)}
    lesson = MetricLesson(train, validation, recipe, colour_space.new)
    outcome = shop.fit("colour", lesson, recipe, data)
    table["colour"] = dict(outcome.best.figures)
    _export(lesson.head, shop.output / colour_space.FILE, {"trunk": shop.sources.trunk})
    _document(shop, data, colour_space.FILE, {"colour": (recipe, outcome)}, table, started)
    return table


def clip(shop: Workshop, data: Data, recipe: ContrastiveRecipe) -> dict[str, dict[str, float]]:
    """Trains and exports the dual encoder; its figures on the validation photos.

    Raises InvalidArgument (field `catalogues`) where nothing is said of any photo.
    """
    if not data.train.captioned().photos or not data.validation.captioned().photos:
        raise InvalidArgument("catalogues", "no photo has a title or labels to make captions of")
    started = time.perf_counter()
    data = replace(data, models={"trunk": shop.sources.trunk, "text tower": shop.sources.text_digest})
    lesson = ContrastiveLesson(data.train, data.validation, shop.sources.concepts(shop.device), recipe)
    outcome = shop.fit("clip", lesson, recipe, data)
    with torch.inference_mode():
        images = lesson.module.image(data.validation.features.float())
        texts = lesson.module.text(data.validation.captions.float())
    found = {
        **outcome.best.figures,
        **figures.of_short_queries(data.validation, images, texts),
        **figures.of_images(images, data.validation.photos),
    }
    _export(lesson.module, shop.output / CLIP_FILE, {"trunk": shop.sources.trunk})
    _document(shop, data, CLIP_FILE, {"clip": (recipe, outcome)}, {"dual encoder": found}, started)
    return {"dual encoder": found}


def checkpoint(
    shop: Workshop, data: Data, architecture: str, path: Path, recipe: CheckpointRecipe
) -> dict[str, dict[str, float]]:
    """Tunes an open_clip checkpoint and exports it as a file that `vitrine models pull --clip` takes.

    The figures before and after, on the validation photos.
    """
    started = time.perf_counter()
    train, validation = data.train.photos, data.validation.photos
    lesson = CheckpointLesson(train, validation, architecture, path, recipe, shop.device)
    lesson.module.eval()
    with torch.inference_mode():
        table = {"before": dict(lesson.measure().figures)}
    data = replace(data, models={architecture: sha256(path)})
    outcome = shop.fit("checkpoint", lesson, recipe, data)
    table["after"] = dict(outcome.best.figures)
    tensors = {name: each.cpu().contiguous() for name, each in lesson.module.state_dict().items()}
    _save(tensors, shop.output / CHECKPOINT_FILE, {"architecture": architecture})
    _document(shop, data, CHECKPOINT_FILE, {"checkpoint": (recipe, outcome)}, table, started)
    return table


def probes(
    shop: Workshop, data: Data, recipes: Mapping[str, ProbeRecipe], spaces: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Trains a calibrated head for each label on vectors of `spaces` side by side, and exports them together.

    The file holds float16 tensors `<task>.hidden.weight`, `.hidden.bias` (unless the head is linear),
    `.out.weight` and `.out.bias`, and under `probes` of its metadata JSON: `inputs` (in order: space, dim,
    model digest) and `tasks` (labels, temperature, ECE before and after, n). Scores are
    `out(gelu(hidden(x)))`, the GELU by tanh, or `out(x)`, with x the concatenated L2-normalised vectors;
    their softmax after division by the temperature is calibrated. The figures of each head on the validation
    photos.
    """
    started = time.perf_counter()
    inputs, vectors = _vectors(shop, data, spaces)
    dims = [each["dim"] for each in inputs]
    data = replace(data, models={each["space"]: each["digest"] for each in inputs})
    tensors: dict[str, Tensor] = {}
    tasks: dict[str, Any] = {}
    table: dict[str, dict[str, float]] = {}
    trained: dict[str, tuple[Recipe, Outcome]] = {}
    left_out: list[str] = []
    for task, recipe in recipes.items():
        parts = (data.train.photos, data.validation.photos)
        try:
            lesson = ProbeLesson(task, parts, vectors, dims, recipe)
        except InvalidArgument as error:
            # A shop that does not state for whom its products are still tells what they are.
            left_out.append(error.message)
            shop.sources.progress(Step("probes", f"left out: {error.message}", 1.0))
            continue
        outcome = shop.fit(f"probe-{task}", lesson, recipe, data)
        temperature, table[task] = lesson.calibrated()
        tensors |= {f"{task}.{name}": each.half() for name, each in lesson.module.tensors().items()}
        tasks[task] = {
            "labels": lesson.labels,
            "temperature": temperature,
            "ece_before": table[task]["ECE before"],
            "ece": table[task]["ECE after"],
            "n": lesson.photos,
        }
        trained[task] = recipe, outcome
    if not tasks:
        raise InvalidArgument("labels", "; ".join(left_out))
    described = json.dumps({"inputs": inputs, "tasks": tasks})
    metadata = {"trunk": shop.sources.trunk, "probes": described}
    _save(tensors, shop.output / PROBES_FILE, metadata)
    _document(shop, data, PROBES_FILE, trained, table, started)
    return table


def note_seen(data: Data, output: Path, *, anew: bool) -> None:
    """Adds which photos took part in training to the list in `output`, those that told when to stop included.

    A list of an earlier training stays part of it unless all heads were trained `anew`.
    """
    rows = np.concatenate([data.split.train, data.split.validation])
    digests = {seen.digest_of(data.photos[row].read()) for row in rows}
    path = output / seen.FILE
    if path.is_file() and not anew:
        digests |= set(Seen.load(path).digests.tolist())
    output.mkdir(parents=True, exist_ok=True)
    Seen.of(digests).save(path)


class _Made:
    """A shelf with the heads of one folder, to know the model that they make before anything serves it."""

    placement = Placement(torch.device("cpu"), torch.float32)

    def __init__(self, models_dir: Path, heads: Path) -> None:
        self._models_dir, self._heads = models_dir, heads

    def folder(self, name: str) -> Folder:
        return Folder(self._models_dir / name, weights.read(self._models_dir, name).files)

    def head(self, file: str, trunk: str) -> tuple[Path, str]:
        del trunk  # They were trained on it.
        return self._heads / file, sha256(self._heads / file)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        del key  # Nothing is shared.
        return make()


def _with_stage(
    shop: Workshop, data: Data, frozen: MetricLesson, recipe: MetricRecipe
) -> tuple[TunedHead, tuple[MetricRecipe, Outcome]]:
    """Trains the trunk's last stage together with the head that `frozen` gave."""
    start = {name: tensor.cpu().contiguous() for name, tensor in frozen.module.state_dict().items()}
    placement = devices.choose("cuda" if shop.device.type == "cuda" else "cpu")
    trunk = shop.sources.models_dir / "resnet50" / resnet50.FILE
    lesson = StageLesson(data.train, data.validation, recipe, trunk, placement, start)
    # Another head to start from is another run.
    models = {**data.models, "head": hashlib.sha256(save(start)).hexdigest()}
    outcome = shop.fit("triplet-last-stage", lesson, recipe, replace(data, models=models))
    return lesson.tuned(), (recipe, outcome)


def _vectors(
    shop: Workshop, data: Data, spaces: Sequence[str]
) -> tuple[list[dict[str, Any]], tuple[Tensor, Tensor]]:
    """What the probes look at, and the vectors of both parts side by side, float16 [n, all dims].

    The dual encoder's are those of the heads in `output`, just trained, or else of those that serve.
    """
    inputs: list[dict[str, Any]] = []
    columns: tuple[list[Tensor], list[Tensor]] = ([], [])
    for space in spaces:
        if space == "resnet50":
            digest = shop.sources.digest(space)
            found = tuple(_unit(part.features) for part in (data.train, data.validation))
        elif space == "clip" and shop.sources.clip_is_dual_encoder:
            own = shop.output / CLIP_FILE
            path = own if own.is_file() else weights.head(shop.sources.models_dir, CLIP_FILE)
            digest = dual_encoder.recipe(_Made(shop.sources.models_dir, path.parent)).digest
            head = dual_encoder.load(path).image.to(shop.device)
            with torch.inference_mode():
                found = tuple(head(part.features.float()) for part in (data.train, data.validation))
        else:
            digest = shop.sources.digest(space)
            # Of all photos, since the cache is by catalogue and knows no parts.
            whole = torch.from_numpy(shop.sources.vectors(data.photos, space))
            place = {photo.name: row for row, photo in enumerate(data.photos)}
            found = tuple(
                whole[[place[photo.name] for photo in part.photos]].to(shop.device)
                for part in (data.train, data.validation)
            )
        inputs.append({"space": space, "dim": found[0].shape[1], "digest": digest})
        for column, vectors in zip(columns, found, strict=True):
            column.append(vectors.half())
    return inputs, (torch.cat(columns[0], dim=1), torch.cat(columns[1], dim=1))


def _document(
    shop: Workshop,
    data: Data,
    file: str,
    trained: Mapping[str, tuple[Recipe, Outcome]],
    table: Mapping[str, Mapping[str, float]],
    started: float,
) -> None:
    """The card's entry, the curves and the log of an export."""
    stem = Path(file).stem
    pictures = []
    for name, (_, outcome) in trained.items():
        label = stem if len(trained) == 1 else f"{stem}.{name}"
        pictures.append(f"{label}.curves.png")
        curves.write(outcome.history, outcome.best, label, shop.output / pictures[-1])
        runs.write_log(outcome.history, shop.output / f"{label}.log.jsonl")
    warnings = [f"{name}: {outcome.warning}" for name, (_, outcome) in trained.items() if outcome.warning]
    entry = Entry(
        file=file,
        sha256=sha256(shop.output / file),
        models=data.models,
        photos=data.train.counts(),
        split=data.split.counts(),
        held_out=data.note,
        recipes={name: recipe for name, (recipe, _) in trained.items()},
        figures=table,
        best_epochs={name: outcome.best.epoch for name, (_, outcome) in trained.items()},
        warnings=tuple(warnings),
        curves=tuple(pictures),
        duration_s=round(time.perf_counter() - started, 1),
        machine=cards.machine(shop.device),
    )
    cards.write(entry, shop.output)


def _export(model: nn.Module, path: Path, metadata: dict[str, str]) -> None:
    # Half precision halves what is shipped and moves cosines by less than 0.0001.
    tensors = {key: value.half().cpu().contiguous() for key, value in model.state_dict().items()}
    _save(tensors, path, metadata)


def _save(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".fresh")
    save_file(dict(tensors), fresh, metadata)
    # The writer makes files for their owner alone; services may run as another user.
    fresh.chmod(0o644)
    fresh.replace(path)


def _unit(features: Tensor) -> Tensor:
    return F.normalize(features.float(), dim=-1)


def _few(rows: Rows) -> Rows:
    """At most `VALIDATION_PHOTOS` of the rows, evenly spread."""
    if len(rows) <= VALIDATION_PHOTOS:
        return rows
    return rows[np.linspace(0, len(rows) - 1, VALIDATION_PHOTOS).round().astype(np.int64)]

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional

from services.embedder import images, weights
from services.embedder.devices import Placement
from services.embedder.images import Pixels
from services.embedder.models import resnet50
from services.embedder.weights import Progress, Step
from services.mesh.errors import InvalidArgument
from services.mesh.models_dir import models_dir_default
from services.mesh.registries import sha256
from services.trainer import loop, stage_lesson
from services.trainer.catalogues import Photo
from services.trainer.material import Material
from services.trainer.metric_lesson import MetricLesson
from services.trainer.recipes import MetricRecipe, Schedule
from services.trainer.runs import Run
from services.trainer.stage_lesson import StageLesson

SHADES = {"Red": "firebrick", "Blue": "royalblue", "Green": "seagreen"}
EXACT = Placement(torch.device("cpu"), torch.float32)
RECIPE = MetricRecipe(
    Schedule(epochs=2, learning_rate=1e-4, weight_decay=0.01, patience=2),
    classes=3,
    photos=2,
    dropout=0.1,
    least_distance=0.0,
)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Smaller pictures than the trunk is asked for, which it takes as well and in a fraction of the time."""
    for module in (resnet50, stage_lesson):
        monkeypatch.setattr(module, "IMAGE_SIZE", 96)


@pytest.fixture(scope="module")
def trunk() -> Path:
    """The file of this machine's trunk, fetched where it is missing."""
    weights.pull(["resnet50"], models_dir_default(), lambda step: None)
    return models_dir_default() / "resnet50" / resnet50.FILE


@pytest.fixture(scope="module")
def plain(trunk: Path) -> resnet50.ResNet50:
    return resnet50.load(trunk)


@pytest.fixture
def shop(drawn: Material, plain: resnet50.ResNet50, tmp_path: Path) -> Material:
    """Twelve photos on disk, a shape for each type, never in the middle; with what the trunk says of them."""
    few = drawn.take(np.arange(12))
    photos = tuple(_painted(photo, number, tmp_path) for number, photo in enumerate(few.photos))
    with torch.inference_mode():
        features = plain(torch.from_numpy(np.stack([_pixels(photo) for photo in photos])))
    return replace(few, photos=photos, features=functional.normalize(features.clone(), dim=1).half())


@pytest.fixture
def make(shop: Material, trunk: Path) -> Callable[..., StageLesson]:
    """A lesson of the shop that starts from a head that was drawn."""

    def made(recipe: MetricRecipe = RECIPE, placement: Placement = EXACT) -> StageLesson:
        start = MetricLesson(shop, shop, recipe).module.state_dict()
        return StageLesson(shop, shop, recipe, trunk, placement, start)

    return made


def test_it_starts_where_the_frozen_trunk_ends(shop: Material, make: Callable[..., StageLesson]) -> None:
    """Before the first step head and stage give what the head gives of cached features."""
    lesson = make()
    frozen = MetricLesson(shop, shop, RECIPE)
    frozen.module.eval()
    lesson.module.eval()
    with torch.no_grad():
        cached = frozen.measure()
        seen = lesson.measure()
        cosines = functional.cosine_similarity(lesson._validation.features, shop.features.float())
    assert cosines.min() > 0.9999
    assert seen.loss == pytest.approx(cached.loss, abs=1e-3)
    assert seen.score == pytest.approx(cached.score, abs=0.02)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_step_changes_the_stage_and_not_what_lies_below(
    shop: Material, make: Callable[..., StageLesson], trunk: Path, dtype: torch.dtype
) -> None:
    """Stage and head learn in float32, whatever the trunk computes in, which is the same bit by bit."""
    digest = sha256(trunk)
    lesson = make(placement=Placement(EXACT.device, dtype))
    pixels = torch.from_numpy(np.stack([_pixels(photo) for photo in shop.photos[:2]]))
    with torch.inference_mode():
        below = lesson._trunk.below(pixels)
    before = {name: each.clone() for name, each in lesson.module.state_dict().items()}
    optimizer = torch.optim.AdamW(lesson.module.parameters(), lr=1e-4)
    loss = next(lesson.losses(np.random.default_rng(0)))
    torch.autograd.backward(loss)
    optimizer.step()
    after = lesson.module.state_dict()
    assert below.dtype is dtype
    assert not [name for name, each in after.items() if torch.equal(each, before[name])]
    assert all(each.dtype is torch.float32 and bool(each.isfinite().all()) for each in after.values())
    assert not any(parameter.requires_grad for parameter in lesson._trunk.parameters())
    with torch.inference_mode():
        assert torch.equal(lesson._trunk.below(pixels), below)
    assert sha256(trunk) == digest


def test_a_resumed_run_equals_an_unbroken_one(
    make: Callable[..., StageLesson], tmp_path: Path, silent: Progress
) -> None:
    """Killed after an epoch and gone on with, head and stage are the very same."""

    def kill(step: Step) -> None:
        if step.doing.startswith("epoch 1"):
            raise KeyboardInterrupt

    whole, killed, resumed = make(), make(), make()
    loop.fit(whole, RECIPE.schedule, Run(tmp_path / "a", "s", "f", resume=False), silent)
    with pytest.raises(KeyboardInterrupt):
        loop.fit(killed, RECIPE.schedule, Run(tmp_path / "b", "s", "f", resume=False), kill)
    steps: list[Step] = []
    loop.fit(resumed, RECIPE.schedule, Run(tmp_path / "b", "s", "f", resume=True), steps.append)
    assert steps[0].doing == "going on after epoch 1"
    found = resumed.module.state_dict()
    assert all(torch.equal(each, found[name]) for name, each in whole.module.state_dict().items())


def test_training_brings_the_loss_down(
    make: Callable[..., StageLesson], tmp_path: Path, silent: Progress
) -> None:
    """From images that tell types apart head and stage learn them, and are exported as they are."""
    lesson = make()
    lesson.module.eval()
    with torch.no_grad():
        before = lesson.measure().loss
    outcome = loop.fit(lesson, RECIPE.schedule, Run(tmp_path, "s", "f", resume=False), silent)
    assert outcome.best.validation_loss < before
    assert len(outcome.history) == 2
    tuned = lesson.tuned()
    names = {name.split(".")[0] for name in tuned.state_dict()}
    assert names == {"linear", "widen", "narrow", "stage"}
    assert torch.equal(
        tuned.state_dict()["stage.2.expand.weight"], lesson.stage.state_dict()["2.expand.weight"]
    )


def test_about_half_of_the_photos_are_mirrored(
    shop: Material, make: Callable[..., StageLesson], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A photo is shown as it is or with left and right changed, by the epoch's draws."""
    lesson = make()
    shown: list[Pixels] = []

    def looked_at(pixels: Pixels) -> Tensor:
        shown.append(pixels.copy())
        return torch.ones(len(pixels), 1) * torch.arange(resnet50.DIM) + torch.rand(len(pixels), 1)

    monkeypatch.setattr(lesson, "_features", looked_at)
    plain = np.stack([_pixels(photo) for photo in shop.photos])
    epochs = []
    for seed in (0, 0, 1):
        shown.clear()
        assert len(list(lesson.losses(np.random.default_rng(seed)))) == lesson.steps == 2
        epochs.append(np.concatenate(shown))
    straight = [bool((plain == one).all(axis=(1, 2, 3)).any()) for one in epochs[0]]
    mirrored = [bool((plain == one[:, ::-1]).all(axis=(1, 2, 3)).any()) for one in epochs[0]]
    assert all(one != other for one, other in zip(straight, mirrored, strict=True))
    assert 2 <= sum(mirrored) <= 10
    assert np.array_equal(epochs[0], epochs[1])
    assert not np.array_equal(epochs[0], epochs[2])


def test_a_photo_that_is_none_ends_the_epoch(shop: Material, make: Callable[..., StageLesson]) -> None:
    """Training data is curated: what cannot be decoded is told."""
    lesson = make()
    for photo in shop.photos:
        photo.path.write_bytes(b"no picture")
    with pytest.raises(InvalidArgument):
        next(lesson.losses(np.random.default_rng(0)))


def _painted(photo: Photo, number: int, folder: Path) -> Photo:
    picture = Image.new("RGB", (64, 64), "white")
    pen = ImageDraw.Draw(picture)
    corner = 2 + number % 5
    box = (corner, corner, corner + 24, corner + 34)
    if photo.type == "Handbags":
        pen.arc(box, 0, 270, SHADES[photo.colour], width=6)
    else:
        (pen.rectangle if photo.type == "Shirts" else pen.ellipse)(box, SHADES[photo.colour])
    path = folder / photo.path.with_suffix(".png")
    picture.save(path)
    return replace(photo, path=path)


def _pixels(photo: Photo) -> Pixels:
    return images.decode(photo.read(), resnet50.IMAGE_SIZE)

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from services.embedder.weights import Progress
from services.mesh.errors import InvalidArgument
from services.trainer import loop
from services.trainer.catalogues import Photo
from services.trainer.checkpoint_lesson import CheckpointLesson
from services.trainer.recipes import CheckpointRecipe, Schedule
from services.trainer.runs import Run
from tests.embedder import tiny_clip

RECIPE = CheckpointRecipe(
    Schedule(epochs=3, learning_rate=3e-3, weight_decay=0.0, patience=3), batch=8, title_share=1.0
)


@pytest.fixture
def shop(photos: list[Photo], tmp_path: Path) -> list[Photo]:
    """Thirty photos on disk, of plain colours that their titles tell."""
    shades = {"Red": (220, 30, 30), "Blue": (30, 30, 220), "Green": (30, 200, 30)}
    found = []
    for photo in photos[:30]:
        path = tmp_path / photo.path
        Image.new("RGB", (32, 32), shades[photo.colour]).save(path)
        found.append(replace(photo, path=path, title=photo.colour))
    return found


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return tiny_clip.write(tmp_path / "tiny.safetensors", seed=0)


def lesson_of(shop: list[Photo], checkpoint: Path, recipe: CheckpointRecipe) -> CheckpointLesson:
    where = torch.device("cpu")
    return CheckpointLesson(shop, shop[:9], tiny_clip.ARCHITECTURE, checkpoint, recipe, where)


def test_the_last_layers_learn_and_the_first_stay(
    shop: list[Photo], checkpoint: Path, tmp_path: Path, silent: Progress
) -> None:
    """Pictures and words come together, while locked weights are those of the checkpoint."""
    lesson = lesson_of(shop, checkpoint, RECIPE)
    before = {name: each.clone() for name, each in lesson.module.state_dict().items()}
    locked = {name for name, each in lesson.module.named_parameters() if not each.requires_grad}
    with torch.no_grad():
        first = lesson.measure().loss
    outcome = loop.fit(lesson, RECIPE.schedule, Run(tmp_path, "x", "f", resume=False), silent)
    after = lesson.module.state_dict()
    assert min(each.validation_loss for each in outcome.history) < first
    assert "visual.conv1.weight" in locked
    assert all(torch.equal(before[name], after[name]) for name in locked)
    assert not torch.equal(before["logit_scale"], after["logit_scale"])
    assert not torch.equal(before["visual.proj"], after["visual.proj"])


def test_more_layers_are_unfrozen_on_request(shop: list[Photo], checkpoint: Path) -> None:
    """With none unfrozen hardly anything is trained."""
    counts = [
        sum(
            each.numel()
            for each in lesson_of(
                shop, checkpoint, replace(RECIPE, unfrozen_layers=layers)
            ).module.parameters()
            if each.requires_grad
        )
        for layers in (0, 1, 2)
    ]
    assert counts[0] < counts[1] < counts[2]


def test_every_epoch_has_its_batches(shop: list[Photo], checkpoint: Path) -> None:
    """Losses come batch by batch and are numbers."""
    lesson = lesson_of(shop, checkpoint, RECIPE)
    losses = list(lesson.losses(np.random.default_rng(0)))
    assert len(losses) == lesson.steps == 3
    assert all(torch.isfinite(loss.detach()) for loss in losses)


def test_photos_of_which_nothing_is_said_teach_nothing(shop: list[Photo], checkpoint: Path) -> None:
    """Without a single caption there is nothing to learn."""
    mute = [replace(photo, title="", type="") for photo in shop]
    with pytest.raises(InvalidArgument, match="nothing is said"):
        lesson_of(mute, checkpoint, RECIPE)

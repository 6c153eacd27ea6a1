from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from services.embedder.weights import Progress
from services.mesh.errors import FailedPrecondition, InvalidArgument
from services.trainer import figures, loop
from services.trainer.material import Material
from services.trainer.metric_lesson import MetricLesson
from services.trainer.recipes import MetricRecipe, Schedule
from services.trainer.runs import Run

RECIPE = MetricRecipe(
    Schedule(epochs=5, learning_rate=1e-3, weight_decay=0.01, patience=5), classes=3, photos=8, dropout=0.1
)


def test_the_head_brings_types_together(drawn: Material, tmp_path: Path, silent: Progress) -> None:
    """After a few epochs neighbours are of the same type, more than before."""
    train, rest = drawn.take(np.arange(0, 60)), drawn.take(np.arange(60, 90))
    lesson = MetricLesson(train, rest, RECIPE)
    before = figures.of_images(torch.nn.functional.normalize(rest.features.float(), dim=1), rest.photos)
    outcome = loop.fit(lesson, RECIPE.schedule, Run(tmp_path, "t", "f", resume=False), silent)
    assert outcome.best.score > 0.95
    assert outcome.best.score >= before["mAP@R by type"]
    assert lesson.head(rest.features.float()).shape == (30, 128)


def test_the_same_seed_gives_the_same_head(drawn: Material, tmp_path: Path, silent: Progress) -> None:
    """Training is repeatable, and another seed is another head."""
    weights = []
    for number, seed in enumerate((0, 0, 1)):
        recipe = replace(RECIPE, schedule=replace(RECIPE.schedule, epochs=2, seed=seed))
        lesson = MetricLesson(drawn, drawn, recipe)
        loop.fit(lesson, recipe.schedule, Run(tmp_path, str(number), "f", resume=False), silent)
        weights.append(lesson.head.linear.weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_collapse_ends_training(drawn: Material) -> None:
    """When all photos lie at one point, that is said instead of trained on."""
    lesson = MetricLesson(drawn, drawn, RECIPE)
    with torch.no_grad():
        for parameter in lesson.head.parameters():
            parameter.zero_()
        lesson.head.linear.bias.fill_(1.0)
    with pytest.raises(FailedPrecondition, match=r"collapsed.*0\.0000 apart") as caught:
        next(lesson.losses(np.random.default_rng(0)))
    assert caught.value.reason == "COLLAPSED"


def test_photos_without_the_labels_take_no_part(drawn: Material) -> None:
    """Labels that nobody states cannot be learnt."""
    nameless = replace(drawn, photos=tuple(replace(photo, gender="") for photo in drawn.photos))
    with pytest.raises(InvalidArgument, match="two labels"):
        MetricLesson(nameless, drawn, replace(RECIPE, labels=("gender",)))


def test_doubled_photos_are_mixed_within_their_class(drawn: Material) -> None:
    """A small class shows variations, not the same photo again."""
    few = drawn.take(np.array([0, 1, 3, 4]))
    lesson = MetricLesson(few, drawn, replace(RECIPE, labels=("type",), photos=6))
    batch = next(lesson._sampler.batches(np.random.default_rng(0)))
    mixed = lesson._mixed(batch)
    assert batch.is_repeat.sum() == 8
    assert len(torch.unique(mixed, dim=0)) > 4
    plain = torch.nn.functional.normalize(few.features.float(), dim=1)[batch.rows]
    torch.testing.assert_close(mixed[~batch.is_repeat], plain[~batch.is_repeat])

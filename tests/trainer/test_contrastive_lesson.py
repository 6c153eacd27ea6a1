from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from services.embedder.weights import Progress
from services.trainer import figures, loop
from services.trainer.concepts import Concepts
from services.trainer.contrastive_lesson import ContrastiveLesson, drawn_captions
from services.trainer.material import Material
from services.trainer.recipes import ContrastiveRecipe, Schedule
from services.trainer.runs import Run

RECIPE = ContrastiveRecipe(
    Schedule(epochs=8, learning_rate=1e-3, weight_decay=0.01, patience=8), batch=30, dropout=0.1
)


@pytest.fixture
def concepts() -> Concepts:
    generator = torch.Generator().manual_seed(0)
    return Concepts(
        torch.randn(20, 2048, generator=generator) / 30, torch.randn(20, 384, generator=generator)
    )


def test_the_dual_encoder_learns_what_captions_say(
    drawn: Material, concepts: Concepts, tmp_path: Path, silent: Progress
) -> None:
    """After a few epochs short queries find photos of that colour and type."""
    lesson = ContrastiveLesson(drawn, drawn, concepts, RECIPE)
    outcome = loop.fit(lesson, RECIPE.schedule, Run(tmp_path, "c", "f", resume=False), silent)
    assert outcome.best.figures["title to photo R@10"] > 0.8
    images = lesson.module.image(drawn.features.float())
    found = figures.of_short_queries(drawn, images, lesson.module.text(drawn.captions.float()))
    assert found["colour and type, text to photo P@10"] > 0.9
    assert not lesson.module.training


def test_photos_without_captions_do_not_disturb(drawn: Material, concepts: Concepts) -> None:
    """A photo that nothing is said of is left out of the contrast."""
    mute = replace(drawn, caption_rows=(np.array([], dtype=np.int64), *drawn.caption_rows[1:]))
    lesson = ContrastiveLesson(mute, mute, concepts, RECIPE)
    losses = list(lesson.losses(np.random.default_rng(0)))
    assert len(losses) == lesson.steps == 2
    assert all(torch.isfinite(loss) for loss in losses)


def test_captions_without_titles_are_enough(drawn: Material, concepts: Concepts) -> None:
    """Where nobody gave titles, the loss decides which epoch is best."""
    nameless = replace(drawn, photos=tuple(replace(photo, title="") for photo in drawn.photos))
    lesson = ContrastiveLesson(drawn, nameless, concepts, RECIPE)
    with torch.no_grad():
        measured = lesson.measure()
    assert measured.figures == {}
    assert measured.score == -measured.loss


def test_the_title_is_drawn_as_often_as_the_recipe_says() -> None:
    """The first caption counts as the title; the others share the rest."""
    rows = tuple(np.arange(4) for _ in range(4000))
    counts = np.bincount(drawn_captions(np.random.default_rng(0), rows, 0.5), minlength=4) / 4000
    assert counts[0] == pytest.approx(0.5 + 0.125, abs=0.04)
    assert counts[1:] == pytest.approx([0.125] * 3, abs=0.03)


def test_imagined_features_are_taken_for_their_class(concepts: Concepts) -> None:
    """The classifier whose weights they come from recognises what was imagined."""
    torch.manual_seed(0)
    classes = torch.arange(20)
    backgrounds = torch.nn.functional.normalize(torch.rand(20, 2048), dim=1)
    imagined = concepts.imagine(classes, backgrounds)
    assert imagined.min() >= 0
    assert ((imagined @ concepts.weights.T).argmax(dim=1) == classes).all()

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from services.embedder.weights import Progress
from services.mesh.errors import InvalidArgument
from services.trainer import loop, probe_lesson
from services.trainer.catalogues import Photo
from services.trainer.material import Material
from services.trainer.probe_lesson import Probe, ProbeLesson
from services.trainer.recipes import ProbeRecipe, Schedule
from services.trainer.runs import Run

RECIPE = ProbeRecipe(
    Schedule(epochs=6, learning_rate=1e-3, weight_decay=0.01, patience=6),
    batch=16,
    hidden_dim=16,
    dropout=0.1,
)


def lesson_of(drawn: Material, recipe: ProbeRecipe, label: str = "gender") -> ProbeLesson:
    train, rest = drawn.take(np.arange(0, 54)), drawn.take(np.arange(54, 90))
    vectors = [functional.normalize(part.features.float(), dim=1).half() for part in (train, rest)]
    return ProbeLesson(label, (train.photos, rest.photos), (vectors[0], vectors[1]), [2048], recipe)


@pytest.mark.parametrize("hidden_dim", [0, 16])
def test_a_probe_reads_labels_off_vectors(
    drawn: Material, tmp_path: Path, silent: Progress, hidden_dim: int
) -> None:
    """After a few epochs photos it has not seen are told apart, with a hidden layer and without."""
    recipe = replace(RECIPE, hidden_dim=hidden_dim)
    lesson = lesson_of(drawn, recipe)
    assert lesson.labels == ["Men", "Women"]
    loop.fit(lesson, recipe.schedule, Run(tmp_path, "p", "f", resume=False), silent)
    temperature, figures = lesson.calibrated()
    assert figures["accuracy"] > 0.9
    assert temperature > 0
    assert 0 <= figures["ECE after"] < 0.3
    assert figures["photos"] == 36


@pytest.mark.parametrize("hidden_dim", [0, 8])
def test_the_exported_layers_are_the_probe(hidden_dim: int) -> None:
    """On plain L2-normalised vectors they give what the probe gives."""
    torch.manual_seed(0)
    probe = Probe([6, 4], 3, hidden_dim=hidden_dim, dropout=0.5).eval()
    vectors = torch.randn(5, 10)
    tensors = probe.tensors()
    x = vectors
    if hidden_dim:
        x = functional.gelu(x @ tensors["hidden.weight"].T + tensors["hidden.bias"], approximate="tanh")
    scores = x @ tensors["out.weight"].T + tensors["out.bias"]
    torch.testing.assert_close(scores, probe(vectors).detach())


def test_the_largest_catalogue_sets_the_words(photos: list[Photo]) -> None:
    """Another shop's words for the same things do not compete with them, and rare ones are left out."""
    other = [replace(photo, catalogue="other", type="Tops") for photo in photos[:40]]
    rare = [replace(photos[0], type="Umbrellas")]
    assert probe_lesson.vocabulary([*other, *photos, *rare], "type", 10) == ["Handbags", "Jeans", "Shirts"]
    assert probe_lesson.vocabulary([], "type", 10) == []


def test_labels_that_are_too_few_are_refused(drawn: Material) -> None:
    """A probe needs two words with enough photos, in the validation part too."""
    with pytest.raises(InvalidArgument, match="fewer than two words"):
        lesson_of(drawn, replace(RECIPE, least_photos=500))
    nameless = replace(
        drawn, photos=tuple(replace(p, gender="" if int(p.product) >= 54 else p.gender) for p in drawn.photos)
    )
    with pytest.raises(InvalidArgument, match="no validation photo"):
        lesson_of(nameless, RECIPE)


def test_logit_adjustment_favours_rare_labels(drawn: Material, tmp_path: Path, silent: Progress) -> None:
    """Trained with it, a rare label gets more probability than without."""
    rare = tuple(
        replace(photo, gender="Unisex" if int(photo.product) % 9 == 0 else "Men") for photo in drawn.photos
    )
    shares = []
    for strength in (0.0, 1.0):
        recipe = replace(RECIPE, logit_adjustment=strength, least_photos=2)
        recipe = replace(recipe, schedule=replace(RECIPE.schedule, epochs=2))
        lesson = lesson_of(replace(drawn, photos=rare), recipe)
        loop.fit(lesson, recipe.schedule, Run(tmp_path, "p", str(strength), resume=False), silent)
        scores = lesson.module(functional.normalize(drawn.features.float(), dim=1))
        shares.append(float(scores.softmax(dim=1)[:, lesson.labels.index("Unisex")].mean()))
    assert shares[1] > shares[0]

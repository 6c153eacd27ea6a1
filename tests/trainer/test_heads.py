from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from services.embedder.models import resnet50
from services.trainer import evaluation, figures, heads
from services.trainer.concepts import Concepts
from services.trainer.heads import Recipe
from services.trainer.material import Material

RECIPE = Recipe(epochs=6, batch=30, learning_rate=1e-3, weight_decay=0.01, dropout=0.1)


@pytest.fixture
def concepts() -> Concepts:
    generator = torch.Generator().manual_seed(0)
    return Concepts(
        torch.randn(20, 2048, generator=generator) / 30, torch.randn(20, 384, generator=generator)
    )


def test_the_dual_encoder_learns_what_captions_say(
    drawn: Material, concepts: Concepts, silent: Callable[[int], None]
) -> None:
    """After a few epochs short queries find photos of that colour and kind."""
    model = heads.train_dual_encoder(drawn, concepts, RECIPE, silent)
    measured = figures.of_dual_encoder(model, drawn)
    assert measured["colour and kind, text to photo P@10"] > 0.9
    assert measured["title to photo R@10"] > 0.8
    assert not model.training


def test_the_triplet_head_brings_kinds_together(drawn: Material, silent: Callable[[int], None]) -> None:
    """After a few epochs neighbours are of the same kind, more than before."""
    measured = figures.of_all(
        heads.train_dual_encoder(
            drawn, Concepts(torch.ones(1, 2048), torch.ones(1, 384)), replace(RECIPE, epochs=2), silent
        ),
        heads.train_triplet(drawn, RECIPE, silent),
        drawn,
    )
    assert measured["triplet, same kind P@10"] > 0.95
    assert measured["triplet, same kind P@10"] >= measured["resnet50, same kind P@10"]


def test_the_same_seed_gives_the_same_head(drawn: Material, silent: Callable[[int], None]) -> None:
    """Training is repeatable."""
    short = replace(RECIPE, epochs=2)
    first, second = (heads.train_triplet(drawn, short, silent) for _ in range(2))
    torch.testing.assert_close(first.linear.weight, second.linear.weight)


def test_every_epoch_is_reported(drawn: Material) -> None:
    """Whoever watches is told of each epoch."""
    done: list[int] = []
    heads.train_triplet(drawn, replace(RECIPE, epochs=3), done.append)
    assert done == [1, 1, 1]


def test_photos_without_captions_do_not_disturb(
    drawn: Material, concepts: Concepts, silent: Callable[[int], None]
) -> None:
    """A photo that nothing is said of is left out of the contrast."""
    mute = replace(drawn, caption_rows=(np.array([], dtype=np.int64), *drawn.caption_rows[1:]))
    model = heads.train_dual_encoder(mute, concepts, replace(RECIPE, epochs=2), silent)
    vectors = model.image(drawn.features).numpy()
    assert vectors.shape == (90, 512)
    assert evaluation.recall_at(vectors, vectors, 1) == 1


def test_imagined_features_are_taken_for_their_class(concepts: Concepts) -> None:
    """The classifier whose weights they come from recognises what was imagined."""
    torch.manual_seed(0)
    classes = torch.arange(20)
    imagined = concepts.imagine(classes, torch.rand(20, resnet50.DIM) * 0.5)
    assert imagined.min() >= 0
    assert ((imagined @ concepts.weights.T).argmax(dim=1) == classes).all()

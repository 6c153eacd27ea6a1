"""Training of the heads on cached features: minutes on two cores, the same result for the same seed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from services.embedder.models import triplet
from services.embedder.models.dual_encoder import DualEncoder
from services.embedder.models.head import Head
from services.trainer import objectives
from services.trainer.concepts import Concepts
from services.trainer.material import Material

Advance = Callable[[int], None]

MAX_SCALE = 100.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """How long and how fast to train, two epochs at least.

    The learning rate rises for one epoch and falls along a cosine.
    """

    epochs: int
    batch: int
    learning_rate: float
    weight_decay: float
    dropout: float
    seed: int = 0


DUAL_ENCODER_RECIPE = Recipe(epochs=25, batch=512, learning_rate=1e-3, weight_decay=0.05, dropout=0.2)
TRIPLET_RECIPE = Recipe(epochs=20, batch=256, learning_rate=1e-3, weight_decay=0.05, dropout=0.3)


def train_dual_encoder(
    material: Material, concepts: Concepts, recipe: Recipe, advance: Advance
) -> DualEncoder:
    """Both heads; each epoch draws one caption a photo, in half of the cases its first one (the title).

    Every batch has an eighth of imagined photos of other things (see `Concepts`) on top, so that the heads
    do not forget what catalogues of clothes never show. Photos without captions are left out. `advance` is
    called with 1 after each epoch.
    """
    torch.manual_seed(recipe.seed)
    random = np.random.default_rng(recipe.seed)
    material = material.take(np.flatnonzero([len(rows) > 0 for rows in material.caption_rows]))
    captions = torch.cat([material.captions, concepts.captions])
    model = DualEncoder(dropout=recipe.dropout).train()
    optimizer, schedule = _optimizer(model, recipe, len(material.photos))
    for _ in range(recipe.epochs):
        drawn = torch.from_numpy(np.array([_draw(random, rows) for rows in material.caption_rows]))
        for batch in _batches(random, len(material.photos), recipe.batch):
            imagined = torch.from_numpy(random.integers(len(concepts.captions), size=recipe.batch // 8))
            rows = torch.cat([drawn[batch], len(material.captions) + imagined])
            features = material.features[batch]
            features = torch.cat([features, concepts.imagine(imagined, features[: len(imagined)])])
            same = rows[:, None] == rows[None, :]
            loss = objectives.contrastive(
                model.image(features), model.text(captions[rows]), model.scale, same=same
            )
            _step(loss, optimizer, schedule)
            with torch.no_grad():
                model.log_scale.clamp_(max=math.log(MAX_SCALE))
        advance(1)
    return model.eval().requires_grad_(False)


def train_triplet(material: Material, recipe: Recipe, advance: Advance) -> Head:
    """The metric head; photos of one kind attract each other. `advance` is called with 1 after each epoch."""
    torch.manual_seed(recipe.seed)
    random = np.random.default_rng(recipe.seed)
    features = material.features
    labels = [f"{photo.category}/{photo.kind}".lower() for photo in material.photos]
    classes, codes = np.unique(labels, return_inverse=True)
    targets = torch.from_numpy(codes)
    head = triplet.new(dropout=recipe.dropout).train()
    proxies = torch.nn.Parameter(torch.randn(len(classes), triplet.DIM))
    model = torch.nn.Module()
    model.head = head
    model.proxies = proxies
    optimizer, schedule = _optimizer(model, recipe, len(features))
    for _ in range(recipe.epochs):
        for batch in _batches(random, len(features), recipe.batch):
            vectors = head(features[batch])
            loss = objectives.normalised_softmax(vectors, proxies, targets[batch], temperature=0.1)
            loss = loss + objectives.batch_hard_triplet(vectors, targets[batch], margin=0.2)
            _step(loss, optimizer, schedule)
        advance(1)
    return head.eval().requires_grad_(False)


def _draw(random: np.random.Generator, rows: npt.NDArray[np.int64]) -> int:
    return int(rows[0] if random.random() < 0.5 else random.choice(rows))


def _batches(random: np.random.Generator, count: int, size: int) -> list[Tensor]:
    # The last, short batch is left out: its photos come at another place in the next epoch.
    order = torch.from_numpy(random.permutation(count))
    return [order[start : start + size] for start in range(0, count - size + 1, size)]


def _optimizer(
    model: torch.nn.Module, recipe: Recipe, count: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    steps = recipe.epochs * (count // recipe.batch)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=steps, pct_start=1 / recipe.epochs
    )
    return optimizer, schedule


def _step(
    loss: Tensor, optimizer: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LRScheduler
) -> None:
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    optimizer.step()
    schedule.step()

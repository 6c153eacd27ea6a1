"""The space `colour`: how alike two products are in colour, whatever they are.

A small head on the foreground's colours and on the trunk's features, which tell it what is skin, label or
lining; trained to name the colour that a shop states.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from services.embedder.models import checkpoints, colours, model_cards, resnet50
from services.embedder.models.family import Batch, Family, Recipe, Shelf, Space, Towers
from services.embedder.models.head import Head

FILE = "colour.safetensors"
MODEL = "colour-resnet50"
DIM = 64
IN_DIM = colours.DIM + resnet50.DIM
HIDDEN_DIM = 256


def new(*, dropout: float = 0.0) -> Head:
    """An untrained head on `joined` inputs, for the trainer and for `load`."""
    return Head(IN_DIM, DIM, hidden_dim=HIDDEN_DIM, dropout=dropout)


def joined(histograms: Tensor, features: Tensor) -> Tensor:
    """What the head looks at, float32 [n, IN_DIM]: both parts [n, ...] weigh the same."""
    return torch.cat([histograms, F.normalize(features, dim=-1)], dim=-1)


def load(path: Path) -> Head:
    """The head in fp32 from a file of the trainer.

    Raises FileNotFoundError where there is none, FailedPrecondition (reason WEIGHTS_UNFIT) where it holds
    something else.
    """
    return checkpoints.loaded(path, new)


def _recipe(shelf: Shelf) -> Recipe:
    trunk_digest = shelf.folder("resnet50").files[resnet50.FILE]
    path, digest = shelf.head(FILE, trunk_digest)

    def make(space: Space) -> Towers:
        trunk, _ = resnet50.trunk(shelf)
        head = shelf.once(("colour", digest), lambda: load(path).to(shelf.placement.device))

        def images(batch: Batch) -> Tensor:
            features = batch.through(trunk, resnet50.IMAGE_SIZE)
            found: Tensor = head(joined(colours.histograms(batch.sized(resnet50.IMAGE_SIZE)), features))
            return found

        return Towers(resnet50.on_trunk(space, trunk, head), images=images)

    card = model_cards.of_head(MODEL, path, digest)
    return Recipe(MODEL, [trunk_digest, digest], make, card)


FAMILY = Family("colour", MODEL, DIM, accepts_text=False, recipe=_recipe, sources=(resnet50.SOURCE,))

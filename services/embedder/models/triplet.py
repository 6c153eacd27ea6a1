"""Metric-learning head on ResNet50 features: photos of the same kind of product lie close together in 128-d.

Schroff et al. 2015, "FaceNet: A Unified Embedding for Face Recognition and Clustering".
"""

from __future__ import annotations

from pathlib import Path

import torch

from services.embedder.models import checkpoints, resnet50
from services.embedder.models.family import Family, Recipe, Shelf, Space, Towers
from services.embedder.models.head import Head

DIM = 128
HIDDEN_DIM = 512


def new(*, dropout: float = 0.0) -> Head:
    """An untrained head, for the trainer and for `load`."""
    return Head(resnet50.DIM, DIM, hidden_dim=HIDDEN_DIM, dropout=dropout)


def load(path: Path) -> Head:
    """The head in fp32 from a file of the trainer.

    Raises FileNotFoundError where there is none, FailedPrecondition (reason WEIGHTS_UNFIT) where it holds
    something else.
    """
    tensors, _ = checkpoints.read(path)
    with torch.device("meta"):
        model = new()
    return checkpoints.fill(model, {name: tensor.float() for name, tensor in tensors.items()}, path)


def _recipe(shelf: Shelf) -> Recipe:
    trunk_digest = shelf.folder("resnet50").files[resnet50.FILE]
    path, digest = shelf.head("triplet.safetensors", trunk_digest)

    def make(space: Space) -> Towers:
        trunk, _ = resnet50.trunk(shelf)
        head = shelf.once(("triplet", digest), lambda: load(path).to(shelf.placement.device))
        return Towers(
            resnet50.on_trunk(space, trunk, head),
            images=lambda batch: head(batch.through(trunk, resnet50.IMAGE_SIZE)),
        )

    return Recipe("triplet-resnet50", [trunk_digest, digest], make)


FAMILY = Family(
    "triplet", "triplet-resnet50", DIM, accepts_text=False, recipe=_recipe, sources=(resnet50.SOURCE,)
)

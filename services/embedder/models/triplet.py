"""Metric-learning head on ResNet50 features: photos of the same kind of product lie close together in 128-d.

Schroff et al. 2015, "FaceNet: A Unified Embedding for Face Recognition and Clustering". Where the trainer
tuned the trunk's last stage too, the head's file holds it, and the space shares with others what lies below.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from services.embedder import devices
from services.embedder.devices import Placement
from services.embedder.models import checkpoints, model_cards, resnet50
from services.embedder.models.family import Batch, Family, Recipe, Shelf, Space, Towers
from services.embedder.models.head import Head
from services.embedder.models.resnet50 import LastStage, ResNet50, Variant

MODEL = "triplet-resnet50"
DIM = 128
HIDDEN_DIM = 512


def new(*, dropout: float = 0.0) -> Head:
    """An untrained head, for the trainer and for `load`."""
    return Head(resnet50.DIM, DIM, hidden_dim=HIDDEN_DIM, dropout=dropout)


class TunedHead(Head):
    """A head with a last stage of its own: maps before that stage [n, 1024, 14, 14] -> vectors [n, 128].

    The stage may have another dtype than the head, which is always float32.
    """

    def __init__(self, variant: Variant) -> None:
        super().__init__(resnet50.DIM, DIM, hidden_dim=HIDDEN_DIM)
        self.stage = LastStage(variant)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of any dtype, which stay as they are."""
        return super().forward(self.stage(maps.to(self.stage.dtype)).float())

    def place(self, device: torch.device, dtype: torch.dtype) -> Self:
        """Itself with its weights moved and laid out for fast convolutions; the stage's are cast."""
        self.stage.to(dtype).to(memory_format=torch.channels_last)
        return self.to(device)

    def tuned(self) -> Self:
        """Itself, on a CPU with the stage's convolutions packed, which is for inference alone."""
        if self.linear.weight.device.type == "cpu":
            self.stage.pack()
        return self


def load(path: Path, variant: Variant = resnet50.V1) -> Head | TunedHead:
    """The head in fp32 from a file of the trainer, with a stage of the trunk's variant if it has one.

    Raises FileNotFoundError where there is none, FailedPrecondition (reason WEIGHTS_UNFIT) where it holds
    something else.
    """
    tensors, _ = checkpoints.read(path)
    is_tuned = any(name.startswith("stage.") for name in tensors)
    with torch.device("meta"):
        model = TunedHead(variant) if is_tuned else new()
    return checkpoints.fill(model, {name: tensor.float() for name, tensor in tensors.items()}, path)


def _placed(path: Path, trunk: ResNet50, device: torch.device) -> Head:
    head = load(path, trunk.variant)
    if not isinstance(head, TunedHead):
        return head.to(device)
    # The maps come in the trunk's dtype, whether that is the one wished for or not.
    placement = Placement(device, trunk.stem.weight.dtype)
    return devices.place(
        head, placement, lambda model, images: model(trunk.below(images)), resnet50.IMAGE_SIZE
    )


def _recipe(shelf: Shelf) -> Recipe:
    trunk_digest = shelf.folder("resnet50").files[resnet50.FILE]
    path, digest = shelf.head("triplet.safetensors", trunk_digest)

    def make(space: Space) -> Towers:
        trunk, _ = resnet50.trunk(shelf)
        head = shelf.once(("triplet", digest), lambda: _placed(path, trunk, shelf.placement.device))

        def images(batch: Batch) -> Tensor:
            see = batch.below if isinstance(head, TunedHead) else batch.through
            found: Tensor = head(see(trunk, resnet50.IMAGE_SIZE))
            return found

        return Towers(resnet50.on_trunk(space, trunk, head), images=images)

    card = model_cards.of_head(MODEL, path, digest)
    return Recipe(MODEL, [trunk_digest, digest], make, card)


FAMILY = Family("triplet", MODEL, DIM, accepts_text=False, recipe=_recipe, sources=(resnet50.SOURCE,))

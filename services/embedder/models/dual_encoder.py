"""Image-text model with locked towers: two frozen encoders, each with a small trained head into one space.

The idea is that of LiT (Zhai et al. 2022, "LiT: Zero-Shot Transfer with Locked-image Text Tuning"), with
ResNet50 features for the pictures, MiniLM vectors for the texts, and both towers locked.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from services.embedder.models import checkpoints, minilm, model_cards, resnet50
from services.embedder.models.family import Recipe, Shelf, Space, Towers
from services.embedder.models.head import Head

ARCHITECTURE = "dual-encoder"
DIM = 512
HIDDEN_DIM = 512
INITIAL_TEMPERATURE = 0.07


class DualEncoder(nn.Module):
    """The two heads and the learned temperature of their softmax."""

    def __init__(self, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.image = Head(resnet50.DIM, DIM, hidden_dim=HIDDEN_DIM, dropout=dropout)
        self.text = Head(minilm.DIM, DIM, hidden_dim=HIDDEN_DIM, dropout=dropout)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(INITIAL_TEMPERATURE)))

    @property
    def scale(self) -> Tensor:
        """What cosines are multiplied by before a softmax: one over the temperature."""
        return self.log_scale.exp()


def load(path: Path) -> DualEncoder:
    """The heads in fp32 from a file of the trainer.

    Raises FileNotFoundError where there is none, FailedPrecondition (reason WEIGHTS_UNFIT) where it holds
    something else.
    """
    return checkpoints.loaded(path, DualEncoder)


def recipe(shelf: Shelf) -> Recipe:
    """The trunk, MiniLM and the heads trained on both, for `clip`."""
    trunk_digest = shelf.folder("resnet50").files[resnet50.FILE]
    path, digest = shelf.head("dual_encoder.safetensors", trunk_digest)
    text_digests = minilm.digests(shelf)

    def make(space: Space) -> Towers:
        trunk, _ = resnet50.trunk(shelf)
        text_tower = minilm.shared(shelf)
        heads = shelf.once((ARCHITECTURE, digest), lambda: load(path).to(shelf.placement.device))
        return Towers(
            resnet50.on_trunk(space, trunk, text_tower.encoder, heads),
            images=lambda batch: heads.image(batch.through(trunk, resnet50.IMAGE_SIZE)),
            texts=lambda texts: heads.text(text_tower.encode(texts)),
            scale=float(heads.scale),
        )

    card = model_cards.of_head(ARCHITECTURE, path, digest)
    return Recipe(ARCHITECTURE, [trunk_digest, *text_digests, digest], make, card)

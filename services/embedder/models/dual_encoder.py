"""Image-text model with locked towers: two frozen encoders, each with a small trained head into one space.

The idea is that of LiT (Zhai et al. 2022, "LiT: Zero-Shot Transfer with Locked-image Text Tuning"), with
ResNet50 features for the pictures, MiniLM vectors for the texts, and both towers locked.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from services.embedder.models import minilm, resnet50
from services.embedder.models.head import Head

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
    """The heads in fp32 from a file of the trainer. Raises FileNotFoundError where there is none."""
    with torch.device("meta"):
        model = DualEncoder()
    model.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()}, assign=True)
    return model.eval().requires_grad_(False)

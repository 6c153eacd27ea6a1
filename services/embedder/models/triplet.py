"""Metric-learning head on ResNet50 features: photos of the same kind of product lie close together in 128-d.

Schroff et al. 2015, "FaceNet: A Unified Embedding for Face Recognition and Clustering".
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from services.embedder.models import resnet50
from services.embedder.models.head import Head

DIM = 128
HIDDEN_DIM = 512


def new(*, dropout: float = 0.0) -> Head:
    """An untrained head, for the trainer and for `load`."""
    return Head(resnet50.DIM, DIM, hidden_dim=HIDDEN_DIM, dropout=dropout)


def load(path: Path) -> Head:
    """The head in fp32 from a file of the trainer. Raises FileNotFoundError where there is none."""
    with torch.device("meta"):
        model = new()
    model.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()}, assign=True)
    return model.eval().requires_grad_(False)

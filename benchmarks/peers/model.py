"""The model as the peers hold it: decoded by Pillow, computed by torch, in either of two formats."""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.embedder import models
from benchmarks.embedder.photos import IMAGE_SIZE
from services.mesh.models_dir import models_dir_default

# `naive` is contiguous float32 and answers in JSON, as such servers are usually written; `tuned` has the
# embedder's format, channels_last and inference mode, and answers with the bytes of the vector.
Variant = Literal["naive", "tuned"]


@dataclass(frozen=True, slots=True)
class Options:
    """What every peer is told on its command line."""

    port: int
    variant: Variant
    models_dir: Path


def options() -> Options:
    """Those of this process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--variant", choices=get_args(Variant), required=True)
    parser.add_argument("--models-dir", type=Path, default=models_dir_default())
    arguments = parser.parse_args()
    return Options(arguments.port, arguments.variant, arguments.models_dir)


def preprocess(data: bytes) -> Tensor:
    """Bytes of a picture -> uint8 RGB [224, 224, 3]."""
    image = Image.open(io.BytesIO(data)).convert("RGB").resize((IMAGE_SIZE, IMAGE_SIZE))
    return torch.from_numpy(np.array(image))


class Model:
    """ResNet50 with the weights that the embedder serves."""

    def __init__(self, variant: Variant, models_dir: Path) -> None:
        forward = models.tuned(models_dir) if variant == "tuned" else models.naive(models_dir)
        self._run = forward.run

    def embed(self, images: Sequence[Tensor]) -> Tensor:
        """Pictures uint8 RGB [224, 224, 3] -> float32 [n, 2048], L2-normalised."""
        return torch.nn.functional.normalize(self._run(torch.stack(list(images))), dim=-1)

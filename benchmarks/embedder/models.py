"""The trunk without any serving: as the embedder runs it, tuned by the book, and without a second thought."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from services.embedder import devices
from services.embedder.devices import DeviceChoice, DtypeChoice
from services.embedder.models import resnet50


@dataclass(frozen=True, slots=True)
class Forward:
    """Pictures uint8 RGB [n, 224, 224, 3] on a device -> features float32 [n, d] there.

    `run` does the same from and to main memory.
    """

    device: str
    dtype: str
    compute: Callable[[Tensor], Tensor]

    def run(self, images: Tensor) -> Tensor:
        """The features of pictures, both in main memory."""
        return self.compute(images.to(self.device)).cpu()


def served(models_dir: Path, *, device: DeviceChoice = "auto", dtype: DtypeChoice = "auto") -> Forward:
    """The trunk in the format and layout that the embedder serves it in.

    Raises FileNotFoundError where it has no weights, FailedPrecondition where `device` is absent.
    """
    placement = devices.choose(device, dtype)
    model = resnet50.load(_weights(models_dir))
    model = devices.place(model, placement, resnet50.ResNet50.forward, resnet50.IMAGE_SIZE)
    return _forward(model)


def tuned(models_dir: Path, *, device: DeviceChoice = "auto", dtype: DtypeChoice = "auto") -> Forward:
    """The same weights as one tunes them by the book: a fast format, channels_last, inference mode.

    Raises as `served`.
    """
    placement = devices.choose(device, dtype)
    return _forward(resnet50.load(_weights(models_dir)).place(placement.device, placement.dtype))


def naive(models_dir: Path) -> Forward:
    """The same weights in contiguous float32 on the CPU, which is what one gets who asks for nothing.

    The batch normalisations are folded into the convolutions here too, which plain code would not do. Raises
    FileNotFoundError where there are no weights.
    """
    model = resnet50.load(_weights(models_dir))

    def compute(images: Tensor) -> Tensor:
        with torch.no_grad():
            # The model's own forward leaves its pixels in channels_last, and the convolutions follow that.
            x = (images.float() - model.mean).permute(0, 3, 1, 2).contiguous()
            x = torch.relu(model.stem(x))
            return model.blocks(model.pool(x)).mean(dim=(2, 3))  # type: ignore[no-any-return]

    return Forward("cpu", "float32", compute)


def _forward(model: resnet50.ResNet50) -> Forward:
    weight = model.stem.weight

    def compute(images: Tensor) -> Tensor:
        with torch.inference_mode():
            return model(images).float()  # type: ignore[no-any-return]

    return Forward(str(weight.device), str(weight.dtype).removeprefix("torch."), compute)


def _weights(models_dir: Path) -> Path:
    return models_dir / "resnet50" / "model.safetensors"

"""ResNets as torchvision names their tensors, with batch normalisations as layers of their own.

The convolutions have no biases there, and pixels are scaled by a standard deviation after the mean colour is
subtracted. Both are folded into the convolutions, in float64 and rounded once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from services.embedder.models import checkpoints

_EPSILON = 1e-5
_BLOCK = (
    ("reduce", "conv1", "bn1"),
    ("spatial", "conv2", "bn2"),
    ("expand", "conv3", "bn3"),
    ("shortcut", "downsample.0", "downsample.1"),
)


def is_in(tensors: Mapping[str, Tensor]) -> bool:
    """Whether tensors have torchvision's names."""
    return {"conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight"} <= tensors.keys()


def convert(tensors: Mapping[str, Tensor], std: Sequence[float], path: Path) -> dict[str, Tensor]:
    """The same network in float32 under the names of `resnet50`, for pixels that are not divided by `std`.

    Raises FailedPrecondition (reason WEIGHTS_UNFIT), which names `path`, where a tensor is missing.
    """
    try:
        return _convert(tensors, std)
    except KeyError as error:
        raise checkpoints.unfit(path, f"no tensor {error}") from error


def _convert(tensors: Mapping[str, Tensor], std: Sequence[float]) -> dict[str, Tensor]:
    kernel, bias = _fold(tensors, "conv1", "bn1")
    kernel = kernel / torch.tensor(std, dtype=torch.float64)[:, None, None]
    exact = {"stem.weight": kernel, "stem.bias": bias}
    for index, block in enumerate(_blocks(tensors)):
        for ours, conv, norm in _BLOCK:
            if ours != "shortcut" or f"{block}.{conv}.weight" in tensors:
                name = f"blocks.{index}.{ours}"
                exact[f"{name}.weight"], exact[f"{name}.bias"] = _fold(
                    tensors, f"{block}.{conv}", f"{block}.{norm}"
                )
    for part in ("weight", "bias"):
        exact[f"top.{part}"] = tensors[f"fc.{part}"]
    return {name: tensor.float().contiguous() for name, tensor in exact.items()}


def _blocks(tensors: Mapping[str, Tensor]) -> list[str]:
    """`layer1.0`, `layer1.1` and so on, in the order in which pictures pass them."""
    names = {name.rpartition(".conv1.weight")[0] for name in tensors if name.startswith("layer")} - {""}
    return sorted(names, key=lambda name: [int(part) for part in name.removeprefix("layer").split(".")])


def _fold(tensors: Mapping[str, Tensor], conv: str, norm: str) -> tuple[Tensor, Tensor]:
    gamma, beta, mean, variance = (
        tensors[f"{norm}.{part}"].double() for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / (variance + _EPSILON).sqrt()
    return tensors[f"{conv}.weight"].double() * scale[:, None, None, None], beta - mean * scale

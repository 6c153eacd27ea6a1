"""ResNet50, the trunk that the spaces share (He et al. 2015, "Deep Residual Learning for Image Recognition").

The weights are Keras's ImageNet-1k ones, published as tfjs shards. Keras's first ResNet50 differs from the
usual torch one: the stride sits in the first 1x1 convolution of a stage, convolutions have biases, batch
normalisation uses its own epsilon, and the input is BGR minus a mean colour. `convert` folds the
normalisations into the convolutions and turns the first kernel to RGB, so that what is left is a plain chain
of biased convolutions over RGB pixels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import save_file
from safetensors.torch import load_file
from torch import Tensor, nn

DIM = 2048
IMAGE_SIZE = 224
CLASSES = 1000

# Mean colour of ImageNet in RGB order, in pixel values. It is subtracted rather than folded into the first
# bias because the first convolution pads with zeros, which must stay "the mean colour" to be exact.
MEAN_RGB = (123.68, 116.779, 103.939)

_STAGES = ((2, 64, 3), (3, 128, 4), (4, 256, 6), (5, 512, 3))

Array = npt.NDArray[np.float32]


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 with a shortcut: [n, in, h, w] -> [n, 4 * width, h / stride, w / stride]."""

    def __init__(self, in_channels: int, width: int, stride: int, *, project: bool) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(in_channels, width, 1, stride=stride)
        self.spatial = nn.Conv2d(width, width, 3, padding=1)
        self.expand = nn.Conv2d(width, 4 * width, 1)
        self.shortcut = nn.Conv2d(in_channels, 4 * width, 1, stride=stride) if project else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """One block; see the class for the shapes."""
        y = torch.relu_(self.reduce(x))
        y = torch.relu_(self.spatial(y))
        return torch.relu_(self.expand(y).add_(self.shortcut(x)))


class ResNet50(nn.Module):
    """Features and ImageNet classes of uint8 RGB images."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.tensor(MEAN_RGB, device="cpu")
        self.stem = nn.Conv2d(3, 64, 7, stride=2, padding=3)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        blocks = []
        in_channels = 64
        for stage, width, depth in _STAGES:
            for index in range(depth):
                stride = 2 if index == 0 and stage > 2 else 1
                blocks.append(Bottleneck(in_channels, width, stride, project=index == 0))
                in_channels = 4 * width
        self.blocks = nn.Sequential(*blocks)
        self.top = nn.Linear(DIM, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """uint8 RGB [n, h, w, 3] -> pooled features [n, 2048], not normalised, in the weights' dtype."""
        # Permuting a dense NHWC tensor gives NCHW in channels_last layout without a copy.
        x = (images.float() - self.mean).to(self.stem.weight.dtype).permute(0, 3, 1, 2)
        x = torch.relu_(self.stem(x))
        # Zero padding of a ReLU's output and the pool's -inf padding give the same maxima.
        x = self.blocks(self.pool(x))
        features: Tensor = x.mean(dim=(2, 3))
        return features

    def place(self, device: torch.device, dtype: torch.dtype) -> Self:
        """Itself with its weights moved, cast and laid out for fast convolutions. The mean stays exact."""
        self.mean = self.mean.to(device)
        return self.to(device=device, dtype=dtype).to(memory_format=torch.channels_last)

    def logits(self, features: Tensor) -> Tensor:
        """Pooled features [n, 2048] -> scores of the 1000 ImageNet classes [n, 1000], before softmax."""
        scores: Tensor = self.top(features)
        return scores


def load(path: Path) -> ResNet50:
    """The trunk in fp32 from a file that `convert` wrote. Raises FileNotFoundError where there is none."""
    with torch.device("meta"):
        model = ResNet50()
    model.load_state_dict(load_file(path), assign=True)
    return model.eval().requires_grad_(False)


def convert(source: Path, target: Path) -> None:
    """Turns a folder of tfjs weights (`model.json` and its shards) into one safetensors file at `target`.

    The arithmetic is in float64 and rounds once, so the file is the same on every machine. Raises KeyError or
    ValueError where the folder does not hold Keras's ResNet50.
    """
    manifest = json.loads((source / "model.json").read_text())
    weights = _read_shards(source, manifest)
    epsilons = {
        layer["config"]["name"]: float(layer["config"]["epsilon"])
        for layer in manifest["modelTopology"]["model_config"]["config"]["layers"]
        if layer["class_name"] == "BatchNormalization"
    }
    tensors: dict[str, Array] = {}

    def fold(name: str, conv: str, norm: str) -> None:
        kernel, bias = _fold(weights, conv, norm, epsilons[norm])
        # Keras keeps kernels as [h, w, in, out], torch as [out, in, h, w].
        tensors[f"{name}.weight"] = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1), dtype=np.float32)
        tensors[f"{name}.bias"] = bias.astype(np.float32)

    fold("stem", "conv1", "bn_conv1")
    tensors["stem.weight"] = np.ascontiguousarray(tensors["stem.weight"][:, ::-1])
    block = 0
    for stage, _, depth in _STAGES:
        for letter in "abcdef"[:depth]:
            for part, branch in (("reduce", "2a"), ("spatial", "2b"), ("expand", "2c"), ("shortcut", "1")):
                if part != "shortcut" or letter == "a":
                    layer = f"{stage}{letter}_branch{branch}"
                    fold(f"blocks.{block}.{part}", f"res{layer}", f"bn{layer}")
            block += 1
    tensors["top.weight"] = np.ascontiguousarray(weights["fc1000/kernel"].T)
    tensors["top.bias"] = weights["fc1000/bias"]
    save_file(tensors, target)


def _read_shards(source: Path, manifest: Mapping[str, Any]) -> dict[str, Array]:
    weights: dict[str, Array] = {}
    for group in manifest["weightsManifest"]:
        data = b"".join((source / path).read_bytes() for path in group["paths"])
        offset = 0
        for entry in group["weights"]:
            count = int(np.prod(entry["shape"]))
            flat = np.frombuffer(data, dtype="<f4", count=count, offset=offset)
            weights[entry["name"]] = flat.reshape(entry["shape"])
            offset += 4 * count
        if offset != len(data):
            raise ValueError(f"shards hold {len(data)} bytes where model.json describes {offset}")
    return weights


def _fold(
    weights: Mapping[str, Array], conv: str, norm: str, epsilon: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    kernel, bias = (weights[f"{conv}/{part}"].astype(np.float64) for part in ("kernel", "bias"))
    gamma, beta, mean, variance = (
        weights[f"{norm}/{part}"].astype(np.float64)
        for part in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    scale = gamma / np.sqrt(variance + epsilon)
    return kernel * scale, (bias - mean) * scale + beta

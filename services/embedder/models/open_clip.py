"""Image-text models of the open_clip library: any of its architectures, from a checkpoint file.

Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision"; Ilharco et al.
2021, "OpenCLIP".
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import open_clip
import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional as F

from services.embedder import devices
from services.embedder.models import checkpoints
from services.embedder.models.family import (
    Folder,
    Preprocessing,
    Shelf,
    Space,
    Towers,
    dtype_name,
    memory_bytes,
)
from services.mesh.errors import InvalidArgument

# How the library says that a checkpoint is of another model, or none.
_UNFIT = (
    *(AssertionError, AttributeError, EOFError, KeyError, RuntimeError, ValueError),
    *(SafetensorError, pickle.UnpicklingError),
)


class OpenClip:
    """Both towers of one checkpoint, with the preprocessing that the checkpoint wants."""

    def __init__(self, model: Any, tokenize: Callable[[list[str]], Tensor]) -> None:
        self._model = model
        self._tokenize = tokenize
        wanted = open_clip.get_model_preprocess_cfg(model)
        size = wanted["size"]
        self.image_size: int = size[0] if isinstance(size, (tuple, list)) else size
        # The published figures are for pixels in [0, 1], ours are in [0, 255].
        mean, std = (tuple(255 * figure for figure in wanted[name]) for name in ("mean", "std"))
        self.preprocessing = Preprocessing(self.image_size, mean, std)
        parameter = next(model.parameters())
        self.dtype, self._device = parameter.dtype, parameter.device
        self._mean, self._std = torch.tensor(mean), torch.tensor(std)
        self.dim: int = self.encode_texts(["shoe"]).shape[1]

    def place(self, device: torch.device, dtype: torch.dtype) -> Self:
        """Moves and casts the weights in place."""
        self._model.to(device=device, dtype=dtype)
        self._mean, self._std = self._mean.to(device), self._std.to(device)
        self.dtype, self._device = dtype, device
        return self

    def tuned(self) -> Self:
        """Itself: there is nothing to tune."""
        return self

    @property
    def memory_bytes(self) -> int:
        """The bytes of both towers' weights."""
        return memory_bytes(self._model)

    @property
    def scale(self) -> float:
        """What cosines are multiplied by before a softmax."""
        return float(self._model.logit_scale.exp())

    @torch.inference_mode()
    def encode_images(self, images: Tensor) -> Tensor:
        """uint8 RGB [n, image_size, image_size, 3] -> float32 [n, dim] L2-normalised."""
        x = ((images.to(torch.float32) - self._mean) / self._std).permute(0, 3, 1, 2).to(self.dtype)
        return F.normalize(self._model.encode_image(x).float(), dim=-1)

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """N texts, n >= 1 -> float32 [n, dim] L2-normalised. Texts beyond the model's context are cut."""
        tokens = self._tokenize(list(texts)).to(self._device)
        return F.normalize(self._model.encode_text(tokens).float(), dim=-1)


def load(architecture: str, checkpoint: Path) -> OpenClip:
    """The model of that open_clip architecture on the CPU in fp32.

    The checkpoint is a safetensors file or a torch file of plain tensors. Raises FileNotFoundError where
    there is no such file, InvalidArgument (field `clip`) for an architecture that open_clip lacks,
    FailedPrecondition (reason WEIGHTS_UNFIT) where the file does not fit it.
    """
    if not checkpoint.is_file():
        raise FileNotFoundError(checkpoint)
    if architecture not in open_clip.list_models():
        raise InvalidArgument("clip", f"open_clip has no architecture {architecture!r}")
    try:
        model = open_clip.create_model(
            architecture, pretrained=str(checkpoint), pretrained_text=False, weights_only=True
        )
    except _UNFIT as error:
        raise checkpoints.unfit(checkpoint, str(error)) from error
    model.eval().requires_grad_(False)
    return OpenClip(model, open_clip.get_tokenizer(architecture))


def towers(shelf: Shelf, folder: Folder, space: Space) -> Towers:
    """Both towers of the checkpoint in `folder`, loaded and placed once for each sha256 of it."""
    ((file, digest),) = folder.files.items()

    def make() -> OpenClip:
        model = load(folder.architecture, folder.path / file)
        return devices.place(model, shelf.placement, OpenClip.encode_images, model.image_size)

    model = shelf.once((folder.architecture, digest), make)
    return Towers(
        replace(
            space,
            dim=model.dim,
            dtype=dtype_name(model.dtype),
            preprocessing=model.preprocessing,
            memory_bytes=model.memory_bytes,
        ),
        images=lambda batch: model.encode_images(batch.sized(model.image_size)),
        texts=model.encode_texts,
        scale=model.scale,
    )

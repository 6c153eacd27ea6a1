"""Image-text models of the open_clip library: any of its architectures, from a checkpoint file.

Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision"; Ilharco et al.
2021, "OpenCLIP".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import open_clip
import torch
from torch import Tensor
from torch.nn import functional as F


class OpenClip:
    """Both towers of one checkpoint, with the preprocessing that the checkpoint wants."""

    def __init__(self, model: Any, tokenize: Callable[[list[str]], Tensor]) -> None:
        self._model = model
        self._tokenize = tokenize
        wanted = open_clip.get_model_preprocess_cfg(model)
        size = wanted["size"]
        self.image_size: int = size[0] if isinstance(size, (tuple, list)) else size
        parameter = next(model.parameters())
        self.dtype, self._device = parameter.dtype, parameter.device
        # The published figures are for pixels in [0, 1], ours are in [0, 255].
        self._mean = torch.tensor(wanted["mean"]) * 255
        self._std = torch.tensor(wanted["std"]) * 255
        self.dim: int = self.encode_texts(["shoe"]).shape[1]

    def place(self, device: torch.device, dtype: torch.dtype) -> Self:
        """Moves and casts the weights in place."""
        self._model.to(device=device, dtype=dtype)
        self._mean, self._std = self._mean.to(device), self._std.to(device)
        self.dtype, self._device = dtype, device
        return self

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
    there is no such file, RuntimeError where it does not fit the architecture.
    """
    if not checkpoint.is_file():
        raise FileNotFoundError(checkpoint)
    model = open_clip.create_model(
        architecture, pretrained=str(checkpoint), pretrained_text=False, weights_only=True
    )
    model.eval().requires_grad_(False)
    return OpenClip(model, open_clip.get_tokenizer(architecture))

"""The core of the embedder: every model loaded once, pictures and texts in, vectors of every space out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from services.embedder import devices, towers
from services.embedder.devices import DeviceChoice, DtypeChoice
from services.embedder.images import Pixels
from services.embedder.towers import WEIGHTS_MISSING, Batch, Space, Towers
from services.mesh.errors import FailedPrecondition, InvalidArgument

Vectors = npt.NDArray[np.float32]

# Pictures or texts in one pass, which bounds its memory.
_PASS_IMAGES = {"cpu": 8, "cuda": 256}


class Engine:
    """What lies in a models directory, ready to embed. For one thread at a time."""

    def __init__(
        self, models_dir: Path, *, device: DeviceChoice = "auto", dtype: DtypeChoice = "auto"
    ) -> None:
        placement = devices.choose(device, dtype)
        loaded = towers.load(models_dir, placement)
        self._device = placement.device
        self.pass_images = _PASS_IMAGES[placement.device.type]
        self._towers: dict[str, Towers] = {each.space.name: each for each in loaded}
        self._images = {each.space.name: each.images for each in loaded if each.images is not None}
        self._texts = {each.space.name: each.texts for each in loaded if each.texts is not None}
        self.image_size = max(each.image_size for each in loaded)

    @property
    def spaces(self) -> tuple[Space, ...]:
        """All spaces, available or not."""
        return tuple(each.space for each in self._towers.values())

    def embed_images(self, images: Pixels, spaces: Sequence[str] = ()) -> dict[str, Vectors]:
        """One vector a picture: uint8 RGB [n, image_size, image_size, 3], n >= 1 -> float32 [n, dim].

        Vectors are L2-normalised. All available spaces when `spaces` is empty; the trunk runs once however
        many of them stand on it. Raises InvalidArgument (field `spaces`) for an unknown space,
        FailedPrecondition (reason WEIGHTS_MISSING) for one without weights.
        """
        wanted = self._select(spaces, self._images)
        parts: dict[str, list[torch.Tensor]] = {name: [] for name in wanted}
        with torch.inference_mode():
            for start in range(0, len(images), self.pass_images):
                batch = Batch(torch.from_numpy(images[start : start + self.pass_images]).to(self._device))
                for name in wanted:
                    parts[name].append(self._images[name](batch))
            return {name: torch.cat(vectors).cpu().numpy() for name, vectors in parts.items()}

    def embed_texts(self, texts: Sequence[str], spaces: Sequence[str] = ()) -> dict[str, Vectors]:
        """One vector a text and space: n texts, n >= 1 -> float32 [n, dim], L2-normalised.

        All available spaces that take text when `spaces` is empty. Raises InvalidArgument (field `spaces`)
        for an unknown space or one that takes no text, FailedPrecondition (reason WEIGHTS_MISSING) for one
        without weights.
        """
        wanted = self._select(spaces, self._texts)
        chunks = [texts[start : start + self.pass_images] for start in range(0, len(texts), self.pass_images)]
        with torch.inference_mode():
            return {
                name: torch.cat([self._texts[name](chunk) for chunk in chunks]).cpu().numpy()
                for name in wanted
            }

    def softmax_scale(self, space: str) -> float:
        """What the cosines between a picture and texts are multiplied by before a softmax over the texts.

        Raises as `embed_texts`.
        """
        self._select([space], self._texts)
        return self._towers[space].scale

    def _select(self, names: Sequence[str], able: Mapping[str, object]) -> list[str]:
        """The spaces asked for, each once, which `able` must hold; all of `able` when none is named."""
        for name in names:
            if name not in self._towers:
                raise InvalidArgument("spaces", f"no space {name!r}, there are {', '.join(self._towers)}")
            space = self._towers[name].space
            if space.unavailable_reason:
                raise FailedPrecondition(f"{name}: {space.unavailable_reason}", reason=WEIGHTS_MISSING)
            if name not in able:
                raise InvalidArgument("spaces", f"the space {name!r} takes no text")
        return list(dict.fromkeys(names or able))

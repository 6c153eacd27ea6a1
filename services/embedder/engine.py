"""The core of the embedder: every model loaded once, pictures and texts in, vectors of every space out."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from services.embedder import devices, selection, towers
from services.embedder.cores import Cores, available
from services.embedder.devices import DeviceChoice, DtypeChoice
from services.embedder.graphs import Graphs
from services.embedder.images import Pixels
from services.embedder.towers import WEIGHTS_MISSING, Batch, Space, Towers
from services.mesh.errors import FailedPrecondition

Vectors = npt.NDArray[np.float32]

# Items in one pass. On a CPU more of them are no faster (measured with ResNet50, from 1 to 64) and make
# everybody wait longer; on a GPU they fill it.
_PASS_ITEMS = {"cpu": 8, "cuda": 256}
# Passes at once: on a CPU up to one a core, on a GPU one that is computed while the next is staged.
_MAX_CPU_PASSES = 8
_CUDA_PASSES = 2
_KEPT_SELECTIONS = 256


class Engine:
    """What lies in models directories, ready to embed. For `passes` threads at once.

    A request names a model by its space, or by `space@digest` as `services.embedder.selection` has it; the
    names given back are the spaces' own for defaults and `space@digest` with the whole digest for others.
    """

    def __init__(
        self, *models_dirs: Path, device: DeviceChoice = "auto", dtype: DtypeChoice = "auto"
    ) -> None:
        placement = devices.choose(device, dtype)
        self._cores = Cores(available())
        torch.set_num_threads(self._cores.count)
        self._device = placement.device
        self._loaded = towers.load(models_dirs, placement)
        self._by_name = {name_of(each.space): each for each in self._loaded}
        self.pass_items = _PASS_ITEMS[self._device.type]
        on_cpu = self._device.type == "cpu"
        self.passes = min(self._cores.count, _MAX_CPU_PASSES) if on_cpu else _CUDA_PASSES
        self.image_size = max(each.image_size for each in self._loaded)
        # Callers ask for the same few combinations again and again.
        self._image_models = functools.lru_cache(_KEPT_SELECTIONS)(
            lambda names: self._in_order(selection.for_images(names, self._loaded))
        )
        self._text_models = functools.lru_cache(_KEPT_SELECTIONS)(
            lambda names: self._in_order(selection.for_texts(names, self._loaded))
        )
        self._graphs = None if on_cpu else Graphs(self._forward, self._device, self.usual_image_models)

    @property
    def spaces(self) -> tuple[Space, ...]:
        """All spaces and models, available or not."""
        return tuple(each.space for each in self._loaded)

    def image_models(self, names: Sequence[str]) -> tuple[str, ...]:
        """The names of the models that a request for pictures means, each once and always in one order.

        Raises as `selection.for_images`, and FailedPrecondition (reason WEIGHTS_MISSING) where none is meant
        and none is available.
        """
        return self._image_models(tuple(names))

    def text_models(self, names: Sequence[str]) -> tuple[str, ...]:
        """As `image_models`, for texts."""
        return self._text_models(tuple(names))

    @property
    def usual_image_models(self) -> list[tuple[str, ...]]:
        """The combinations to warm up with: all defaults, and on a GPU each of them by itself too."""
        able = tuple(name_of(each.space) for each in selection.for_images([], self._loaded))
        alone = [] if self._device.type == "cpu" or len(able) == 1 else [(name,) for name in able]
        return [able, *alone] if able else []

    def embed_images(
        self, images: Pixels | Sequence[Pixels], names: Sequence[str] = ()
    ) -> dict[str, Vectors]:
        """One vector a picture: n of uint8 RGB [image_size, image_size, 3], n >= 1 -> float32 [n, dim].

        Vectors are L2-normalised. All available default models when `names` is empty; a trunk runs once
        however many of them stand on it. Raises as `image_models`.
        """
        models = self.image_models(names)
        parts = [
            self._images_pass(images[start : start + self.pass_items], models)
            for start in range(0, len(images), self.pass_items)
        ]
        return self._split(parts, models)

    def embed_texts(self, texts: Sequence[str], names: Sequence[str] = ()) -> dict[str, Vectors]:
        """One vector a text and model: n texts, n >= 1 -> float32 [n, dim], L2-normalised.

        All available default models that take text when `names` is empty. Raises as `text_models`.
        """
        models = self.text_models(names)
        parts = [
            self._texts_pass(texts[start : start + self.pass_items], models)
            for start in range(0, len(texts), self.pass_items)
        ]
        return self._split(parts, models)

    def softmax_scale(self, space: str) -> float:
        """What the cosines between a picture and texts are multiplied by before a softmax over the texts.

        Raises as `text_models`.
        """
        (name,) = self.text_models([space])
        return self._by_name[name].scale

    def _images_pass(self, images: Pixels | Sequence[Pixels], models: tuple[str, ...]) -> Vectors:
        if self._graphs is not None:
            return self._graphs.run(images, models)
        stack = images if isinstance(images, np.ndarray) else np.stack(images)
        with self._computing():
            vectors: Vectors = self._forward(torch.from_numpy(stack), models).numpy()
        return vectors

    def _texts_pass(self, texts: Sequence[str], models: tuple[str, ...]) -> Vectors:
        with self._computing():
            vectors = []
            for name in models:
                encode = self._by_name[name].texts
                assert encode is not None
                vectors.append(encode(texts))
            whole: Vectors = torch.cat(vectors, dim=1).cpu().numpy()
        return whole

    @contextmanager
    def _computing(self) -> Iterator[None]:
        with self._cores.shared(), torch.inference_mode():
            yield

    def _forward(self, pixels: Tensor, models: tuple[str, ...]) -> Tensor:
        """uint8 [n, image_size, image_size, 3] -> all models' vectors side by side, float32 [n, all dims]."""
        batch = Batch(pixels)
        vectors = []
        for name in models:
            encode = self._by_name[name].images
            assert encode is not None
            vectors.append(encode(batch))
        return torch.cat(vectors, dim=1)

    def _split(self, parts: Sequence[Vectors], models: tuple[str, ...]) -> dict[str, Vectors]:
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
        ends = np.cumsum([self._by_name[name].space.dim for name in models])
        return dict(zip(models, np.split(whole, ends[:-1], axis=1), strict=True))

    def _in_order(self, wanted: Sequence[Towers]) -> tuple[str, ...]:
        if not wanted:
            raise FailedPrecondition("no space has its weights here", reason=WEIGHTS_MISSING)
        names = {name_of(each.space) for each in wanted}
        return tuple(name for name in self._by_name if name in names)


def name_of(space: Space) -> str:
    """By which name requests and results know a model."""
    return space.name if space.default else f"{space.name}@{space.digest}"

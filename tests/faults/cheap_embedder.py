"""An embedder that needs no weights: `python -m tests.faults.cheap_embedder PORT` serves.

Everything but the models is the real thing. The space `colour` is a picture's mean colour, `bare` has no
weights.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import cast

import numpy as np
from torch import Tensor

from services.embedder import selection
from services.embedder.engine import Engine, Vectors
from services.embedder.images import Pixels
from services.embedder.server import serve
from services.embedder.settings import EmbedderSettings
from services.embedder.towers import Batch, Space, Towers
from services.mesh.errors import FailedPrecondition
from services.mesh.pictures.decoding import ImageLimits
from services.mesh.server import run

MAX_IMAGES = 64
# Small, so that no picture within the limits takes much memory by itself.
LIMITS = ImageLimits(max_bytes=1 << 20, max_pixels=1 << 20)
_CALLS_WAITING = 16


class MeanColour:
    """Stands for `services.embedder.engine.Engine`."""

    image_size = 8
    pass_items = 16
    passes = 2
    spaces = (
        Space("colour", "mean", 3, accepts_text=False, digest="c0" * 32, device="cpu", dtype="float32"),
        Space("bare", "none", 3, accepts_text=False, unavailable_reason="no weights here"),
    )

    def image_models(self, names: Sequence[str]) -> tuple[str, ...]:
        loaded = [Towers(self.spaces[0], images=_never), Towers(self.spaces[1])]
        return tuple(each.space.name for each in selection.for_images(names, loaded))

    @property
    def usual_image_models(self) -> list[tuple[str, ...]]:
        return [("colour",)]

    def text_models(self, names: Sequence[str]) -> tuple[str, ...]:
        raise FailedPrecondition("no space takes texts")

    def embed_images(self, images: Sequence[Pixels], names: Sequence[str] = ()) -> dict[str, Vectors]:
        means = np.stack([image.reshape(-1, 3).mean(axis=0) for image in images]) + 1e-3
        return {"colour": (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)}


def _never(batch: Batch) -> Tensor:
    raise NotImplementedError


def main() -> None:
    settings = EmbedderSettings(
        port=int(sys.argv[1]),
        max_image_bytes=LIMITS.max_bytes,
        max_image_pixels=LIMITS.max_pixels,
        max_batch_images=MAX_IMAGES,
        max_batch_texts=1,
        max_queued_items=_CALLS_WAITING * MAX_IMAGES,
        decode_threads=2,
    )
    run(serve(settings, lambda *_dirs, **_placement: cast("Engine", MeanColour())))


if __name__ == "__main__":
    main()

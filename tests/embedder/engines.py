"""An engine that computes something trivial, for tests of what surrounds engines."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from services.embedder.engine import Vectors
from services.embedder.images import Pixels
from services.embedder.towers import Space
from services.mesh.errors import FailedPrecondition, InvalidArgument

OLD_DIGEST = "0ld0" * 16


class MeanColourEngine:
    """A space `colour` (the mean; red for all texts) in two models, and a space `bare` without weights.

    `gate` can hold its work back; `begun` counts its batches, `batches` remembers how many items each had.
    """

    image_size = 8
    pass_items = 3
    passes = 1
    spaces = (
        Space(
            "colour", "mean", 3, accepts_text=True, digest="c0", device="cpu", dtype="float32", card="# mean"
        ),
        Space("bare", "none", 3, accepts_text=False, unavailable_reason="no weights here"),
        Space("colour", "negative", 3, accepts_text=False, digest=OLD_DIGEST, default=False),
    )

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.begun = 0
        self.batches: list[int] = []

    def image_models(self, names: Sequence[str]) -> tuple[str, ...]:
        if "bare" in names:
            raise FailedPrecondition("bare: no weights here", reason="WEIGHTS_MISSING")
        for name in names:
            if name not in {"colour", f"colour@{OLD_DIGEST}"}:
                raise InvalidArgument("spaces", f"no space {name!r}")
        return tuple(sorted(set(names) or {"colour"}))

    @property
    def usual_image_models(self) -> list[tuple[str, ...]]:
        return [("colour",)]

    def text_models(self, names: Sequence[str]) -> tuple[str, ...]:
        return self.image_models(names)

    def embed_images(self, images: Sequence[Pixels], names: Sequence[str] = ()) -> dict[str, Vectors]:
        self.begun += 1
        assert self.gate.wait(60)
        self.batches.append(len(images))
        means = np.stack(images).reshape(len(images), -1, 3).mean(axis=1) + 1e-3
        vectors = (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)
        return {name: -vectors if "@" in name else vectors for name in names}

    def embed_texts(self, texts: Sequence[str], names: Sequence[str] = ()) -> dict[str, Vectors]:
        vectors = np.array([[1, 0, 0]] * len(texts), np.float32)
        return dict.fromkeys(names, vectors)

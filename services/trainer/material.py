"""Photos, features and captions together, and their split by product."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from services.trainer.catalogues import Photo

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Material:
    """Photos with features float32 [n, 2048], caption vectors float32 [m, 384] and each photo's caption rows.

    The caption rows of a photo are in the order of `Photo.captions`: the title comes first where there is
    one.
    """

    photos: tuple[Photo, ...]
    features: Tensor
    captions: Tensor
    caption_rows: tuple[Rows, ...]

    def take(self, rows: Rows) -> Material:
        """The photos of these rows; all caption vectors stay."""
        return replace(
            self,
            photos=tuple(self.photos[row] for row in rows),
            features=self.features[torch.from_numpy(rows)],
            caption_rows=tuple(self.caption_rows[row] for row in rows),
        )


def distinct_captions(photos: Sequence[Photo]) -> list[str]:
    """Every caption of the photos once, sorted."""
    return sorted({caption for photo in photos for caption in photo.captions})


def gather(
    photos: Sequence[Photo], features: npt.NDArray[np.float16], captions: npt.NDArray[np.float16]
) -> Material:
    """Material of `photos` whose features are [n, 2048] and whose `distinct_captions` are [m, 384]."""
    place = {caption: row for row, caption in enumerate(distinct_captions(photos))}
    return Material(
        photos=tuple(photos),
        features=torch.from_numpy(features).float(),
        captions=torch.from_numpy(captions).float(),
        caption_rows=tuple(
            np.array([place[caption] for caption in photo.captions], dtype=np.int64) for photo in photos
        ),
    )


def split(photos: Sequence[Photo], held_out_share: float) -> tuple[Rows, Rows]:
    """Rows to train on and rows to hold out. A group is on one side, chosen by the hash of its name."""
    held_out = np.array([_share(photo.group) < held_out_share for photo in photos])
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _share(name: str) -> float:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64

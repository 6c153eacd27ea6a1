"""Photos, features and captions together."""

from __future__ import annotations

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
    """Photos with features float16 [n, 2048], caption vectors float16 [m, 384] and each one's caption rows.

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
            features=self.features[torch.from_numpy(rows).to(self.features.device)],
            caption_rows=tuple(self.caption_rows[row] for row in rows),
        )

    def captioned(self) -> Material:
        """The photos of which something is said."""
        return self.take(np.flatnonzero([len(rows) > 0 for rows in self.caption_rows]))

    def titled(self) -> Material:
        """One photo of each group that has a title, the first."""
        first: dict[str, int] = {}
        for row, photo in enumerate(self.photos):
            if photo.title:
                first.setdefault(photo.group, row)
        return self.take(np.array([*first.values()], dtype=np.int64))

    def counts(self) -> dict[str, int]:
        """How many photos there are of each catalogue."""
        names = [photo.catalogue for photo in self.photos]
        return {name: names.count(name) for name in dict.fromkeys(names)}

    def to(self, device: torch.device) -> Material:
        """The same with its vectors on that device."""
        return replace(self, features=self.features.to(device), captions=self.captions.to(device))


def distinct_captions(photos: Sequence[Photo]) -> list[str]:
    """Every caption of the photos once, sorted."""
    return sorted({caption for photo in photos for caption in photo.captions})


def gather(
    photos: Sequence[Photo],
    features: npt.NDArray[np.float16],
    texts: Sequence[str],
    captions: npt.NDArray[np.float16],
) -> Material:
    """Material of `photos` with features [n, 2048]; their captions are among `texts`, with vectors [m, 384].

    Of texts that are the same the first counts, so that one caption is one row.
    """
    place: dict[str, int] = {}
    for row, text in enumerate(texts):
        place.setdefault(text, row)
    return Material(
        photos=tuple(photos),
        features=torch.from_numpy(features),
        captions=torch.from_numpy(captions),
        caption_rows=tuple(
            np.array([place[caption] for caption in photo.captions], dtype=np.int64) for photo in photos
        ),
    )

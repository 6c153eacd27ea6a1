"""The dual encoder's lesson: photos and what is said of them meet in one space."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from services.embedder.models.dual_encoder import DualEncoder
from services.trainer import figures, objectives, sampling
from services.trainer.concepts import Concepts
from services.trainer.loop import Measured
from services.trainer.material import Material, Rows
from services.trainer.recipes import ContrastiveRecipe

MAX_SCALE = 100.0


class ContrastiveLesson:
    """Both heads on the features and captions of `train`, measured on `validation`.

    Each epoch draws one caption a photo. Every batch has imagined photos of other things (see `Concepts`) on
    top, so that the heads do not forget what catalogues of clothes never show. Photos without captions are
    left out.
    """

    def __init__(
        self, train: Material, validation: Material, concepts: Concepts, recipe: ContrastiveRecipe
    ) -> None:
        self._recipe, self._concepts = recipe, concepts
        self._train = train.captioned()
        self._weights = sampling.weights_of(self._train.photos, recipe.mixture)
        self._validation = validation.captioned()
        self._titled = validation.titled()
        self._captions = torch.cat([train.captions.float(), concepts.captions])
        torch.manual_seed(recipe.schedule.seed)
        self.module = DualEncoder(dropout=recipe.dropout).to(train.features.device)

    @property
    def steps(self) -> int:
        """Batches an epoch."""
        return max(1, len(self._train.photos) // self._recipe.batch)

    def losses(self, random: np.random.Generator) -> Iterator[Tensor]:
        """An epoch."""
        drawn = drawn_captions(random, self._train.caption_rows, self._recipe.title_share)
        for batch in sampling.batches(random, self._weights, self._recipe.batch):
            extra = round(self._recipe.imagined_share * len(batch))
            imagined = random.integers(len(self._concepts.captions), size=extra)
            captions = np.concatenate([drawn[batch], len(self._train.captions) + imagined])
            features = self._train.features[self._on_device(batch)].float()
            other = self._concepts.imagine(self._on_device(imagined), features[:extra])
            yield self._loss(torch.cat([features, other]), self._on_device(captions))
            with torch.no_grad():
                self.module.log_scale.clamp_(max=math.log(MAX_SCALE))

    def measure(self) -> Measured:
        """The score is the mean of title to photo recall at 1 and at 10."""
        captions = drawn_captions(np.random.default_rng(0), self._validation.caption_rows, 1.0)
        size = self._recipe.batch
        losses = [
            float(
                self._loss(
                    self._validation.features[start : start + size].float(),
                    self._on_device(captions[start : start + size]),
                )
            )
            for start in range(0, len(captions), size)
        ]
        found: dict[str, float] = {}
        if self._titled.photos:
            titles = [int(rows[0]) for rows in self._titled.caption_rows]
            images = self.module.image(self._titled.features.float())
            found = figures.of_pairs(images, self.module.text(self._captions[titles]))
        score = float(np.mean([*found.values()])) if found else -float(np.mean(losses))
        return Measured(float(np.mean(losses)), score, found)

    def _loss(self, features: Tensor, captions: Tensor) -> Tensor:
        same = captions[:, None] == captions[None, :]
        images, texts = self.module.image(features), self.module.text(self._captions[captions])
        return objectives.contrastive(images, texts, self.module.scale, same=same)

    def _on_device(self, rows: Rows) -> Tensor:
        return torch.from_numpy(rows).to(self._train.features.device)


def drawn_captions(random: np.random.Generator, caption_rows: tuple[Rows, ...], first_share: float) -> Rows:
    """One caption row a photo, int64 [n]: its first one, the title, in that share of the cases."""
    first = random.random(len(caption_rows)) < first_share
    place = random.random(len(caption_rows))
    drawn = [
        rows[0] if is_first else rows[int(share * len(rows))]
        for rows, is_first, share in zip(caption_rows, first, place, strict=True)
    ]
    return np.array(drawn, dtype=np.int64)

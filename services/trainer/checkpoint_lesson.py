"""An open_clip checkpoint's lesson: the last layers of both towers learn a shop's photos and words.

Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision"; Zhai et al.
2022, "LiT", for what stays locked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import open_clip
import torch
from torch import Tensor
from torch.nn import functional as F

from services.embedder import images
from services.embedder.models import open_clip as served
from services.mesh.errors import InvalidArgument
from services.trainer import figures, objectives, sampling
from services.trainer.catalogues import Photo
from services.trainer.contrastive_lesson import MAX_SCALE
from services.trainer.loop import Measured
from services.trainer.recipes import CheckpointRecipe


class CheckpointLesson:
    """Contrastive tuning from images; photos without captions are left out.

    Each epoch draws one caption a photo. Raises as `services.embedder.models.open_clip.load`, and
    InvalidArgument (field `catalogues`) where a part has no caption.
    """

    def __init__(
        self,
        train: Sequence[Photo],
        validation: Sequence[Photo],
        architecture: str,
        checkpoint: Path,
        recipe: CheckpointRecipe,
        device: torch.device,
    ) -> None:
        self._recipe, self._device = recipe, device
        self._train = [photo for photo in train if photo.captions]
        self._validation = [photo for photo in validation if photo.captions]
        if not (self._train and self._validation):
            raise InvalidArgument("catalogues", "nothing is said of the photos: no title, no type")
        self._weights = sampling.weights_of(self._train, recipe.mixture)
        # What serves it tells whether it fits, and how pixels are prepared.
        prepared = served.load(architecture, checkpoint)
        self._size = prepared.image_size
        self._mean = torch.tensor(prepared.preprocessing.mean, device=device)
        self._std = torch.tensor(prepared.preprocessing.std, device=device)
        self._tokenize = open_clip.get_tokenizer(architecture)
        self.module = open_clip.create_model(
            architecture, pretrained=str(checkpoint), pretrained_text=False, weights_only=True
        )
        self._unfreeze(recipe.unfrozen_layers)
        self.module.to(device)

    @property
    def steps(self) -> int:
        """Batches an epoch."""
        return max(1, len(self._train) // self._recipe.batch)

    def losses(self, random: np.random.Generator) -> Iterator[Tensor]:
        """An epoch; the next batch is decoded while the towers work on this one."""
        captions = [self._caption(random, photo) for photo in self._train]
        chosen = list(sampling.batches(random, self._weights, self._recipe.batch))
        with ThreadPoolExecutor(1) as ahead:
            upcoming = ahead.submit(self._decoded, [self._train[row] for row in chosen[0]])
            for number, batch in enumerate(chosen):
                pixels = upcoming.result()
                if number + 1 < len(chosen):
                    upcoming = ahead.submit(self._decoded, [self._train[row] for row in chosen[number + 1]])
                yield self._loss(pixels, [captions[row] for row in batch])
                with torch.no_grad():
                    self.module.logit_scale.clamp_(max=math.log(MAX_SCALE))

    def measure(self) -> Measured:
        """The score is the mean of caption to photo recall at 1 and at 10, by the first captions."""
        size = self._recipe.batch
        losses, pictures, texts = [], [], []
        for start in range(0, len(self._validation), size):
            batch = self._validation[start : start + size]
            pixels, captions = self._decoded(batch), [photo.captions[0] for photo in batch]
            losses.append(float(self._loss(pixels, captions)))
            pictures.append(self._images(pixels))
            texts.append(self._texts(captions))
        found = figures.of_pairs(torch.cat(pictures), torch.cat(texts))
        return Measured(float(np.mean(losses)), float(np.mean([*found.values()])), found)

    def _unfreeze(self, layers: int) -> None:
        """All is locked but the last layers of each tower, what projects them, and the temperature."""
        self.module.lock_image_tower(unlocked_groups=layers)
        self.module.lock_text_tower(unlocked_layers=layers)
        self.module.logit_scale.requires_grad_(requires_grad=True)

    def _caption(self, random: np.random.Generator, photo: Photo) -> str:
        captions = photo.captions
        is_first, place = random.random() < self._recipe.title_share, random.random()
        return captions[0] if is_first else captions[int(place * len(captions))]

    def _decoded(self, photos: Sequence[Photo]) -> Tensor:
        return torch.from_numpy(np.stack([images.decode(photo.read(), self._size) for photo in photos]))

    def _loss(self, pixels: Tensor, captions: Sequence[str]) -> Tensor:
        same = torch.tensor([[one == other for other in captions] for one in captions], device=self._device)
        scale = self.module.logit_scale.exp()
        return objectives.contrastive(self._images(pixels), self._texts(captions), scale, same=same)

    def _images(self, pixels: Tensor) -> Tensor:
        x = ((pixels.to(self._device).float() - self._mean) / self._std).permute(0, 3, 1, 2)
        return F.normalize(self.module.encode_image(x), dim=-1)

    def _texts(self, captions: Sequence[str]) -> Tensor:
        return F.normalize(self.module.encode_text(self._tokenize(list(captions)).to(self._device)), dim=-1)

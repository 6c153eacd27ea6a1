"""The trunk's last stage and the metric head together, from images.

The head is trained on the frozen trunk's features before: a head that knows nothing yet would spoil the stage
with its first steps (Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and Underperform
Out-of-Distribution").
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from services.embedder import devices, images
from services.embedder.devices import Placement
from services.embedder.images import Pixels
from services.embedder.models import resnet50
from services.embedder.models.resnet50 import IMAGE_SIZE, ResNet50
from services.embedder.models.triplet import TunedHead
from services.trainer.catalogues import Photo
from services.trainer.loop import Measured
from services.trainer.material import Material
from services.trainer.metric_lesson import MetricLesson
from services.trainer.recipes import MetricRecipe
from services.trainer.sampling import ClassBatch

# What is below the stage takes memory for so many photos at once: 200 MB in bfloat16.
_PASS_PHOTOS = 64
_FLIPPED_SHARE = 0.5

Decoded = Sequence[Future[Pixels]]


class StageLesson(MetricLesson):
    """`MetricLesson` with a copy of the last stage of the trunk in that file, which stays as it is.

    What lies below the stage is computed as when it serves, on the placement's device, where both parts of
    the material are. Half of the photos of a batch are shown mirrored. `start` is the state of the module of
    a `MetricLesson` by a recipe that differs in its schedule alone. Raises as `MetricLesson`, and in an epoch
    InvalidArgument for a photo that cannot be decoded.
    """

    def __init__(
        self,
        train: Material,
        validation: Material,
        recipe: MetricRecipe,
        trunk: Path,
        placement: Placement,
        start: Mapping[str, Tensor],
    ) -> None:
        super().__init__(train, validation, recipe)
        self.module.load_state_dict(start)
        plain = resnet50.load(trunk)
        self.stage = plain.last_stage().to(placement.device).to(memory_format=torch.channels_last)
        self.module.append(self.stage)
        self._trunk = devices.place(plain, placement, ResNet50.forward, IMAGE_SIZE)

    def losses(self, random: np.random.Generator) -> Iterator[Tensor]:
        """An epoch; the next batch is decoded while the models work on this one. Raises as the class says."""
        with ThreadPoolExecutor(os.cpu_count()) as decoders:
            ahead: tuple[ClassBatch, Decoded] | None = None
            for batch in self._sampler.batches(random):
                photos = [self._train.photos[row] for row in batch.rows]
                submitted = batch, [decoders.submit(_decoded, photo) for photo in photos]
                if ahead is not None:
                    yield self._loss(*ahead, random)
                ahead = submitted
            assert ahead is not None, "an epoch has at least one batch"
            yield self._loss(*ahead, random)

    def measure(self) -> Measured:
        """As `MetricLesson.measure`, with what the stage makes of the validation photos now."""
        features = self._seen(self._validation.photos)
        self._validation = replace(self._validation, features=features)
        return super().measure()

    def tuned(self) -> TunedHead:
        """Head and stage as one, to be exported."""
        whole = TunedHead(self._trunk.variant)
        stage = {f"stage.{name}": tensor for name, tensor in self.stage.state_dict().items()}
        whole.load_state_dict({**self.head.state_dict(), **stage})
        return whole

    def _loss(self, batch: ClassBatch, decoded: Decoded, random: np.random.Generator) -> Tensor:
        pixels = np.stack([each.result() for each in decoded])
        mirrored = random.random(len(pixels)) < _FLIPPED_SHARE
        pixels[mirrored] = pixels[mirrored, :, ::-1]
        vectors = self.head(self._features(pixels))
        self._guard(vectors)
        loss: Tensor = self._objective(vectors, self._on_device(batch.targets))
        return loss

    def _seen(self, photos: Sequence[Photo]) -> Tensor:
        """Features float32 [n, 2048] of photos."""
        with ThreadPoolExecutor(os.cpu_count()) as decoders:
            parts = []
            for start in range(0, len(photos), _PASS_PHOTOS):
                pixels = np.stack([*decoders.map(_decoded, photos[start : start + _PASS_PHOTOS])])
                parts.append(self._features(pixels))
        return torch.cat(parts)

    def _features(self, pixels: Pixels) -> Tensor:
        """uint8 [n, side, side, 3] -> float32 [n, 2048], with gradients for the stage alone."""
        with torch.no_grad():
            parts = self._on_device(pixels).split(_PASS_PHOTOS)
            maps = torch.cat([self._trunk.below(part) for part in parts])
        # The stage computes in the trunk's dtype; its weights, and their steps, are float32 all the same.
        with torch.autocast(maps.device.type, torch.bfloat16, enabled=maps.dtype == torch.bfloat16):
            features: Tensor = self.stage(maps)
        return features.float()


def _decoded(photo: Photo) -> Pixels:
    return images.decode(photo.read(), IMAGE_SIZE)

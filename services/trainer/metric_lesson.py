"""A metric head's lesson: photos with the same labels attract each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from services.embedder.models import triplet
from services.embedder.models.head import Head
from services.mesh.errors import FailedPrecondition
from services.trainer import figures, objectives, sampling
from services.trainer.loop import Measured
from services.trainer.material import Material
from services.trainer.recipes import MetricRecipe
from services.trainer.sampling import ClassBatch, ClassSampler

COLLAPSED = "COLLAPSED"

_MEASURED_BATCHES = 8


class NewHead(Protocol):
    """Makes an untrained head."""

    def __call__(self, *, dropout: float) -> Head:
        """With so much dropout."""
        ...


class MetricLesson:
    """A head of `new` on the features of `train`, measured on `validation`; both are on the same device.

    Photos that lack one of the recipe's labels take no part. Raises InvalidArgument (field `labels`) where
    either part has fewer than two labels with two photos.
    """

    def __init__(
        self, train: Material, validation: Material, recipe: MetricRecipe, new: NewHead = triplet.new
    ) -> None:
        self._train, self._validation, self._recipe = train, validation, recipe
        names = sorted({photo.label(recipe.labels) for photo in train.photos} - {""})
        place = {name: number for number, name in enumerate(names)}
        self._sampler = self._sampled(train, place)
        self._validation_sampler = self._sampled(validation, place)
        # Drawn on the CPU, whatever draws came before, so that a seed means the same on every device.
        torch.manual_seed(recipe.schedule.seed)
        self.head = new(dropout=recipe.dropout)
        self._objective = objectives.metric(recipe, len(names), self.head.linear.out_features)
        self.module = nn.ModuleList([self.head, self._objective]).to(train.features.device)

    @property
    def steps(self) -> int:
        """Batches an epoch."""
        return self._sampler.steps

    def losses(self, random: np.random.Generator) -> Iterator[Tensor]:
        """Raises FailedPrecondition (reason COLLAPSED) once all photos lie at one point."""
        for batch in self._sampler.batches(random):
            vectors = self.head(self._mixed(batch))
            self._guard(vectors)
            yield self._objective(vectors, self._on_device(batch.targets))

    def measure(self) -> Measured:
        """The score is mAP@R by the recipe's label for it."""
        losses = []
        for number, batch in enumerate(self._validation_sampler.batches(np.random.default_rng(0))):
            if number == _MEASURED_BATCHES:
                break
            vectors = self.head(self._validation.features[self._on_device(batch.rows)].float())
            losses.append(float(self._objective(vectors, self._on_device(batch.targets))))
        by = self._recipe.score
        found = figures.of_images(self.head(self._validation.features.float()), self._validation.photos, by)
        return Measured(float(np.mean(losses)), found.get(f"mAP@R by {by}", -float(np.mean(losses))), found)

    def _sampled(self, material: Material, place: dict[str, int]) -> ClassSampler:
        recipe = self._recipe
        labels = [photo.label(recipe.labels) for photo in material.photos]
        return ClassSampler(
            np.array([place.get(label, -1) for label in labels], dtype=np.int64),
            sampling.weights_of(material.photos, recipe.mixture),
            classes=recipe.classes,
            photos=recipe.photos,
            balance=recipe.balance,
        )

    def _mixed(self, batch: ClassBatch) -> Tensor:
        """The batch's features; a photo that is there twice is mixed with another one of its class."""
        features = F.normalize(self._train.features[self._on_device(batch.rows)].float(), dim=-1)
        partners = F.normalize(self._train.features[self._on_device(batch.partners)].float(), dim=-1)
        kept = 0.5 + 0.5 * torch.rand(len(features), 1, device=features.device)
        kept = torch.where(self._on_device(batch.is_repeat)[:, None], kept, 1.0)
        return kept * features + (1 - kept) * partners

    def _guard(self, vectors: Tensor) -> None:
        distance = objectives.mean_distance(vectors)
        # The comparison is False for NaN, which the loop's own check tells of.
        if distance < self._recipe.least_distance:
            raise FailedPrecondition(
                f"the head collapsed: two photos of a batch are {distance:.4f} apart on average, at least "
                f"{self._recipe.least_distance} are wanted; a lower learning rate, or the objective "
                "soft_margin or normalised_softmax, helps",
                reason=COLLAPSED,
            )

    def _on_device(self, values: np.typing.NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(values).to(self._train.features.device)

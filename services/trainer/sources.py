"""From catalogue folders to material: what the frozen models say of their photos and captions."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from services.embedder import devices, towers, weights
from services.embedder.devices import DeviceChoice
from services.embedder.engine import Engine
from services.embedder.models import minilm, resnet50
from services.embedder.weights import Progress
from services.mesh.errors import FailedPrecondition, InvalidArgument
from services.trainer import catalogues, features, material
from services.trainer.catalogues import Photo
from services.trainer.concepts import Concepts
from services.trainer.features import Half
from services.trainer.material import Material


class Sources:
    """Models of a models directory, and the cache of what they said.

    Raises FailedPrecondition (reason WEIGHTS_MISSING) where the trunk is not there.
    """

    def __init__(
        self, models_dir: Path, cache: Path, progress: Progress, *, device: DeviceChoice = "auto"
    ) -> None:
        self.models_dir, self.progress, self._cache = models_dir, progress, cache
        self.trunk = weights.read(models_dir, "resnet50").files[resnet50.FILE]
        self._placement = devices.choose(device)
        self._device = device
        self._loaded: Engine | None = None

    def photos(self, folders: Sequence[Path]) -> list[Photo]:
        """The photos of all catalogues. Raises InvalidArgument where two have one name or one has none."""
        names = [folder.resolve().name for folder in folders]
        if len(set(names)) < len(names):
            raise InvalidArgument("catalogues", f"two catalogues have one name: {', '.join(names)}")
        found = [catalogues.read(folder.resolve()) for folder in folders]
        for name, photos in zip(names, found, strict=True):
            if not photos:
                raise InvalidArgument("catalogues", f"{name} has no photos")
        return [photo for photos in found for photo in photos]

    def material(self, photos: Sequence[Photo], *, captions: bool) -> Material:
        """Photos with features and, if wanted, vectors of their captions, from the cache where it has them.

        Photos of one catalogue follow each other.
        """
        vectors = self.vectors(photos, "resnet50")
        texts: list[str] = []
        parts = [np.empty((0, minilm.DIM), dtype=np.float16)]
        if not captions:
            photos_said = [np.empty(0, dtype=np.int64)] * len(photos)
            empty = torch.from_numpy(parts[0])
            return Material(tuple(photos), torch.from_numpy(vectors), empty, tuple(photos_said))
        digest = self.text_digest
        for name, members in _by_catalogue(photos):
            said = material.distinct_captions(members)
            if said:
                parts.append(
                    features.of_captions(said, name, digest, self._encode, self._cache, self.progress)
                )
                texts += said
        return material.gather(photos, vectors, texts, np.concatenate(parts))

    def vectors(self, photos: Sequence[Photo], space: str) -> Half:
        """L2-normalised vectors float16 [n, dim] in a space of the models directory.

        Raises InvalidArgument (field `spaces`) for one that is not there, FailedPrecondition where it has no
        weights.
        """
        digest = self.digest(space)
        parts = [
            features.of_photos(
                members, space, digest, lambda: self._engine(digest), self._cache, self.progress
            )
            for _, members in _by_catalogue(photos)
        ]
        return np.concatenate(parts)

    def colours(self, photos: Sequence[Photo]) -> Half:
        """Histograms float16 [n, colours.DIM] of what colours photos show."""
        parts = [
            features.of_colours(members, self._cache, self.progress) for _, members in _by_catalogue(photos)
        ]
        return np.concatenate(parts)

    def digest(self, space: str) -> str:
        """The model digest of a space, by which catalogues know it. Raises as `vectors`."""
        found = {each.name: each for each in towers.survey(self.models_dir)}
        if space not in found:
            raise InvalidArgument("spaces", f"no space {space!r}, there are {', '.join(found)}")
        if found[space].unavailable_reason:
            raise FailedPrecondition(found[space].unavailable_reason, reason=towers.WEIGHTS_MISSING)
        return found[space].digest

    @property
    def clip_is_dual_encoder(self) -> bool:
        """Whether the directory's clip space is this project's dual encoder."""
        models = {model.name: model for model in weights.list_models(self.models_dir)}
        return models["clip"].architecture in {"", weights.DUAL_ENCODER}

    @property
    def text_digests(self) -> list[str]:
        """The sha256 of the text tower's files, in the order in which a model's digest has them."""
        files = weights.read(self.models_dir, "minilm").files
        return [files[name] for name in minilm.FILES]

    @property
    def text_digest(self) -> str:
        """The sha256 of the text tower's weights and tokenizer, as one word."""
        return "-".join(self.text_digests)

    @functools.cached_property
    def text_tower(self) -> minilm.MiniLM:
        """The text tower of the dual encoder."""
        folder = self.models_dir / "minilm"
        tower = minilm.load(*(folder / name for name in minilm.FILES))
        tower.encoder.to(self._placement.device)
        return tower

    def concepts(self, device: torch.device) -> Concepts:
        """What the trunk's own classifier knows, on that device."""
        folder = self.models_dir / "resnet50"
        labels = json.loads((folder / "labels.json").read_text())
        names = [labels[str(row)].replace("_", " ") for row in range(resnet50.CLASSES)]
        trunk = resnet50.load(folder / resnet50.FILE)
        return Concepts(trunk.top.weight.to(device), self._encode(names).clone().to(device))

    def _engine(self, digest: str) -> Engine:
        """One that has the model of that digest: a head trained meanwhile is not in the engine before."""
        if self._loaded is None or digest not in {space.digest for space in self._loaded.spaces}:
            self._loaded = Engine(self.models_dir, device=self._device)
        return self._loaded

    def _encode(self, texts: Sequence[str]) -> Tensor:
        # Cosines with what the tower says in float32 are above 0.9999, as fine as what is cached.
        is_fast = self._placement.dtype == torch.bfloat16
        with torch.autocast(self._placement.device.type, torch.bfloat16, enabled=is_fast):
            return self.text_tower.encode(texts)


def _by_catalogue(photos: Sequence[Photo]) -> list[tuple[str, list[Photo]]]:
    grouped = itertools.groupby(photos, key=lambda photo: photo.catalogue)
    return [(name, list(members)) for name, members in grouped]

"""The spaces and how each makes its vectors, loaded from a models directory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from services.embedder import devices, weights
from services.embedder.devices import Placement
from services.embedder.models import dual_encoder, minilm, resnet50, triplet
from services.mesh.errors import FailedPrecondition
from services.mesh.registries import sha256

WEIGHTS_MISSING = "WEIGHTS_MISSING"


@dataclass(frozen=True, slots=True)
class Space:
    """One embedding. `digest` is the hex sha256 of its recipe and of all its weights files.

    Where weights are missing, `digest` is empty and `unavailable_reason` says what is missing and which
    command fetches it.
    """

    name: str
    model: str
    dim: int
    accepts_text: bool
    digest: str = ""
    device: str = ""
    dtype: str = ""
    unavailable_reason: str = ""


class Batch:
    """Pictures on their way through the towers; what several towers need is computed once."""

    def __init__(self, pixels: Tensor) -> None:
        self._pixels = pixels
        self._features: Tensor | None = None

    def sized(self, size: int) -> Tensor:
        """The pictures as uint8 RGB [n, size, size, 3]."""
        if self._pixels.shape[1] == size:
            return self._pixels
        planes = self._pixels.permute(0, 3, 1, 2).float()
        planes = functional.interpolate(planes, size=(size, size), mode="bilinear", antialias=True)
        return planes.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)

    def through(self, trunk: resnet50.ResNet50) -> Tensor:
        """Features float32 [n, 2048] of the trunk, which runs at the first call only."""
        if self._features is None:
            self._features = trunk(self.sized(resnet50.IMAGE_SIZE)).float()
        return self._features


@dataclass(frozen=True, slots=True)
class Towers:
    """A space with its ways from pictures and from texts to float32 [n, dim] L2-normalised.

    Without weights it has neither. `scale` is what cosines between a picture and texts are multiplied by
    before a softmax.
    """

    space: Space
    images: Callable[[Batch], Tensor] | None = None
    texts: Callable[[Sequence[str]], Tensor] | None = None
    image_size: int = resnet50.IMAGE_SIZE
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class _Trunk:
    model: resnet50.ResNet50
    digest: str


def load(models_dir: Path, placement: Placement) -> tuple[Towers, ...]:
    """The towers of every space, with or without weights.

    A space whose weights are missing, damaged or made for another trunk is unavailable and says why;
    nothing is ever given random weights.
    """
    shelf = _Shelf(models_dir, placement)
    return (
        _or_unavailable(Space("resnet50", "resnet50", resnet50.DIM, accepts_text=False), shelf.resnet50),
        _or_unavailable(Space("triplet", "triplet-resnet50", triplet.DIM, accepts_text=False), shelf.triplet),
        _or_unavailable(Space("clip", weights.DUAL_ENCODER, dual_encoder.DIM, accepts_text=True), shelf.clip),
    )


def _or_unavailable(space: Space, make: Callable[[Space], Towers]) -> Towers:
    try:
        return make(space)
    except FailedPrecondition as error:
        return Towers(replace(space, unavailable_reason=error.message))


class _Shelf:
    """Takes the models of one directory down; the trunk once for all spaces that stand on it."""

    def __init__(self, models_dir: Path, placement: Placement) -> None:
        self._models_dir = models_dir
        self._placement = placement
        self._loaded_trunk: _Trunk | None = None

    def resnet50(self, space: Space) -> Towers:
        trunk = self._trunk()
        return Towers(
            self._on_trunk(space, []),
            images=lambda batch: functional.normalize(batch.through(trunk.model), dim=-1),
        )

    def triplet(self, space: Space) -> Towers:
        trunk = self._trunk()
        path = self._head("triplet.safetensors")
        head = triplet.load(path).to(self._placement.device)
        return Towers(
            self._on_trunk(space, [sha256(path)]),
            images=lambda batch: head(batch.through(trunk.model)),
        )

    def clip(self, space: Space) -> Towers:
        manifest = weights.read(self._models_dir, "clip")
        if manifest.architecture == weights.DUAL_ENCODER:
            return self._dual_encoder(space)
        return self._open_clip(manifest, space)

    def _dual_encoder(self, space: Space) -> Towers:
        trunk = self._trunk()
        path = self._head("dual_encoder.safetensors")
        heads = dual_encoder.load(path).to(self._placement.device)
        files = weights.read(self._models_dir, "minilm").files
        folder = self._models_dir / "minilm"
        text_tower = minilm.load(folder / "model.safetensors", folder / "tokenizer.json")
        text_tower.encoder.to(self._placement.device)
        return Towers(
            self._on_trunk(space, [*(files[name] for name in sorted(files)), sha256(path)]),
            images=lambda batch: heads.image(batch.through(trunk.model)),
            texts=lambda texts: heads.text(text_tower.encode(texts)),
            scale=float(heads.scale),
        )

    def _open_clip(self, manifest: weights.Manifest, space: Space) -> Towers:
        # Importing open_clip takes many seconds, which only those who serve a checkpoint of it should pay.
        from services.embedder.models import open_clip  # noqa: PLC0415

        ((file, digest),) = manifest.files.items()
        model = open_clip.load(manifest.architecture, self._models_dir / "clip" / file)
        model = devices.place(model, self._placement, open_clip.OpenClip.encode_images, model.image_size)
        return Towers(
            replace(
                space,
                model=manifest.architecture,
                dim=model.dim,
                digest=_digest(manifest.architecture, [digest]),
                device=str(self._placement.device),
                dtype=_name(model.dtype),
            ),
            images=lambda batch: model.encode_images(batch.sized(model.image_size)),
            texts=model.encode_texts,
            image_size=model.image_size,
            scale=model.scale,
        )

    def _trunk(self) -> _Trunk:
        if self._loaded_trunk is None:
            digest = weights.read(self._models_dir, "resnet50").files["model.safetensors"]
            model = resnet50.load(self._models_dir / "resnet50" / "model.safetensors")
            model = devices.place(model, self._placement, resnet50.ResNet50.forward, resnet50.IMAGE_SIZE)
            self._loaded_trunk = _Trunk(model, digest)
        return self._loaded_trunk

    def _head(self, file: str) -> Path:
        """Raises FailedPrecondition unless the head is there and was trained on the trunk that is loaded."""
        path = weights.HEADS_DIR / file
        wanted, found = self._trunk().digest, weights.trunk_of(path)
        if wanted != found:
            raise FailedPrecondition(
                f"{file} was trained on trunk {found[:12]}, here is {wanted[:12]}; "
                f"`{weights.TRAIN_COMMAND}` trains it anew",
                reason=WEIGHTS_MISSING,
            )
        return path

    def _on_trunk(self, space: Space, digests: Sequence[str]) -> Space:
        trunk = self._trunk()
        return replace(
            space,
            digest=_digest(space.model, [trunk.digest, *digests]),
            device=str(self._placement.device),
            dtype=_name(trunk.model.stem.weight.dtype),
        )


def _digest(recipe: str, digests: Sequence[str]) -> str:
    return hashlib.sha256("\n".join([recipe, *digests]).encode()).hexdigest()


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")

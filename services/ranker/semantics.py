"""Labels of photos: by probes that were trained to tell them, or by text prompts where none fits the models.

The method of prompts is CLIP's zero-shot classification (Radford et al. 2021, section 3.1): the probabilities
of a task's labels are the softmax of the scaled cosines with the labels' mean prompt vectors. Probes are
linear or two-layer heads on vectors of several spaces, their softmax calibrated by a temperature (Guo et al.
2017).
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from services.mesh.errors import FailedPrecondition, InvalidArgument
from services.ranker.photos import SEMANTIC_SPACE, Photo

Floats = npt.NDArray[np.float32]

TASKS = ("gender", "category")

# Probability 1 is kept for what a shop states, so a saturated softmax must not reach it.
MAX_PROBABILITY = 0.999

# Lists of labels of probes: as many as models are at hand, and tasks.
_REMEMBERED = 16

_DIGEST = re.compile(r"[0-9A-Za-z_-]{1,128}")
_ARRAYS = ("labels", "matrix", "bias", "scale")

# What zipfile and numpy raise for a file that is torn, overwritten in part, or has other arrays in it.
_UNREADABLE = (
    *(OSError, EOFError, KeyError, RuntimeError, TypeError, ValueError),
    *(zipfile.BadZipFile, zlib.error),
)


@dataclass(frozen=True, slots=True)
class Task:
    """The prompts of one task.

    `matrix` is float32 [n_labels, dimension] of unit rows, `bias` float32 [n_labels].
    """

    labels: tuple[str, ...]
    matrix: Floats
    bias: Floats
    scale: float

    def probabilities(self, vectors: Floats) -> Floats:
        """Of float32 unit vectors [n, dimension]: float32 [n, n_labels], each row adding up to 1."""
        logits = self.scale * (vectors @ self.matrix.T) + self.bias
        return _softmax(logits)


@dataclass(frozen=True, slots=True)
class Probe:
    """A trained, calibrated head for one task.

    It looks at the vectors of `inputs` (spaces with the digests of their models, in this order) side by side.
    `labels` are those of its scores; several scores may be of one label, and "" is none that is asked for.
    `layers` are (weight float32 [out, in], bias float32 [out]), with a GELU between them.
    """

    inputs: tuple[tuple[str, str], ...]
    labels: tuple[str, ...]
    layers: tuple[tuple[Floats, Floats], ...]
    temperature: float

    def fits(self, photo: Photo) -> bool:
        """Whether the photo has vectors of the models that this was trained on."""
        return all(photo.digests.get(space) == digest for space, digest in self.inputs) and (
            sum(len(photo.vectors[space]) for space, _ in self.inputs) == self.layers[0][0].shape[1]
        )

    def probabilities(self, photos: Sequence[Photo]) -> tuple[tuple[str, ...], Floats]:
        """The labels, and their probabilities float32 [n, labels] for n photos that fit."""
        x = np.stack([np.concatenate([photo.vectors[space] for space, _ in self.inputs]) for photo in photos])
        for number, (weight, bias) in enumerate(self.layers):
            x = (_gelu(x) if number else x) @ weight.T + bias
        shares = _softmax((x / self.temperature).astype(np.float32))
        names, membership = _membership(self.labels)
        return names, shares @ membership


@dataclass(frozen=True, slots=True)
class Semantics:
    """How labels are told for one model: prompts for every task, and probes where some were trained."""

    tasks: Mapping[str, Task]
    probes: Mapping[str, Probe]

    @property
    def dimension(self) -> int:
        """Length of the vectors that prompts classify."""
        return len(next(iter(self.tasks.values())).matrix[0])

    def distribution(self, task: str, photo: Photo, *, field: str) -> dict[str, float]:
        """The probability of each label of a task: by its probe if that fits the photo, else by prompts.

        Raises InvalidArgument naming `field` for a vector of another dimension than the prompts'.
        """
        labels, shares = self._told(task, [photo], self._has_probe(task, photo), field)
        return dict(zip(labels, shares[0].tolist(), strict=True))

    def classify(self, photos: Sequence[Photo], *, field: str) -> list[dict[str, tuple[str, float]]]:
        """The most probable label of each task with its probability, a photo. Raises as `distribution`."""
        found: list[dict[str, tuple[str, float]]] = [{} for _ in photos]
        for task in self.tasks:
            places: dict[bool, list[int]] = {True: [], False: []}
            for place, photo in enumerate(photos):
                places[self._has_probe(task, photo)].append(place)
            for by_probe, chosen in places.items():
                if not chosen:
                    continue
                labels, shares = self._told(task, [photos[place] for place in chosen], by_probe, field)
                for place, best, share in zip(chosen, shares.argmax(axis=1), shares.max(axis=1), strict=True):
                    found[place][task] = labels[best], min(float(share), MAX_PROBABILITY)
        return found

    def _has_probe(self, task: str, photo: Photo) -> bool:
        return task in self.probes and self.probes[task].fits(photo)

    def _told(
        self,
        task: str,
        photos: Sequence[Photo],
        by_probe: bool,  # noqa: FBT001 - which of two ways
        field: str,
    ) -> tuple[tuple[str, ...], Floats]:
        if by_probe:
            return self.probes[task].probabilities(photos)
        vectors = [photo.vectors[SEMANTIC_SPACE] for photo in photos]
        for vector in vectors:
            if len(vector) != self.dimension:
                raise InvalidArgument(
                    field, f"{len(vector)} dimensions where the prompts have {self.dimension}"
                )
        prompts = self.tasks[task]
        return prompts.labels, prompts.probabilities(np.stack(vectors))


class Library:
    """The prepared prompts of a models directory: read when first asked for, `limit` models at once."""

    def __init__(self, models_dir: Path, *, limit: int = 4) -> None:
        self._folder = models_dir.expanduser() / "semantics"
        self._limit = limit
        self._loaded: OrderedDict[str, Semantics] = OrderedDict()

    def of(self, model_digest: str, *, field: str) -> Semantics:
        """The prompts prepared for the model of this digest.

        Raises InvalidArgument naming `field` for what is no digest, and FailedPrecondition with the reason
        SEMANTICS_MISSING when there are none, or none that can be read. A miss is not remembered: prompts
        that are prepared later are found.
        """
        if not _DIGEST.fullmatch(model_digest):
            raise InvalidArgument(field, "is no digest of a model")
        if model_digest not in self._loaded:
            self._loaded[model_digest] = read(self._folder / f"{model_digest}.npz")
            if len(self._loaded) > self._limit:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(model_digest)
        return self._loaded[model_digest]


def read(path: Path) -> Semantics:
    """Prompts from a file of arrays `<task>.labels`, `<task>.matrix`, `<task>.bias` and `<task>.scale`.

    A task may have a probe: `probes.<task>.labels`, `.spaces`, `.digests`, `.temperature` and, for each layer
    from 0 on, `.weight0` and `.bias0`. Raises FailedPrecondition with the reason SEMANTICS_MISSING.
    """
    try:
        # Opened here: numpy leaves a file that is no archive open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            tasks = {name: _task(*(arrays[f"{name}.{array}"] for array in _ARRAYS)) for name in TASKS}
            probes = {
                name: _probe(arrays, f"probes.{name}.") for name in TASKS if f"probes.{name}.labels" in arrays
            }
            widths = {task.matrix.shape[1] for task in tasks.values()}
            if len(widths) > 1:
                raise ValueError(f"prompts of {sorted(widths)} dimensions")
    except FileNotFoundError as error:
        raise FailedPrecondition(
            f"no prompts were prepared for the model {path.stem}; `vitrine models pull` prepares them",
            reason="SEMANTICS_MISSING",
        ) from error
    except _UNREADABLE as error:
        raise FailedPrecondition(
            f"the prompts of the model {path.stem} cannot be read: {error}", reason="SEMANTICS_MISSING"
        ) from error
    return Semantics(tasks, probes)


def _task(
    labels: npt.NDArray[np.str_],
    matrix: npt.NDArray[np.floating],
    bias: npt.NDArray[np.floating],
    scale: npt.NDArray[np.floating],
) -> Task:
    if matrix.ndim != 2 or not len(labels) == len(matrix) == len(bias) > 0:
        raise ValueError(f"{len(labels)} labels, a matrix of shape {matrix.shape} and {len(bias)} biases")
    return Task(
        labels=tuple(labels.tolist()),
        matrix=np.ascontiguousarray(matrix, dtype=np.float32),
        bias=bias.astype(np.float32),
        scale=float(scale),
    )


def _probe(arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> Probe:
    layers: list[tuple[Floats, Floats]] = []
    while f"{prefix}weight{len(layers)}" in arrays:
        weight, bias = (arrays[f"{prefix}{part}{len(layers)}"] for part in ("weight", "bias"))
        if weight.ndim != 2 or weight.shape[:1] != bias.shape:
            raise ValueError(f"a layer with weights of {weight.shape} and biases of {bias.shape}")
        layers.append((np.ascontiguousarray(weight, dtype=np.float32), bias.astype(np.float32)))
    labels = tuple(arrays[f"{prefix}labels"].tolist())
    widths = [(weight.shape[1], weight.shape[0]) for weight, _ in layers]
    if not layers or widths[-1][1] != len(labels) or any(a[1] != b[0] for a, b in pairwise(widths)):
        raise ValueError(f"layers of {widths} for {len(labels)} labels")
    spaces, digests = (arrays[f"{prefix}{name}"].tolist() for name in ("spaces", "digests"))
    temperature = float(arrays[f"{prefix}temperature"])
    if not spaces or not any(labels) or not 0 < temperature < np.inf:
        raise ValueError(f"a probe of spaces {spaces}, labels {labels} and temperature {temperature}")
    if not all(np.isfinite(weight).all() and np.isfinite(bias).all() for weight, bias in layers):
        raise ValueError("a layer has numbers that are not finite")
    return Probe(
        inputs=tuple(zip(spaces, digests, strict=True)),
        labels=labels,
        layers=tuple(layers),
        temperature=temperature,
    )


@lru_cache(_REMEMBERED)
def _membership(labels: tuple[str, ...]) -> tuple[tuple[str, ...], Floats]:
    """The distinct labels, and which score is of which: float32 [scores, labels] of 0 and 1."""
    names = tuple(dict.fromkeys(label for label in labels if label))
    found = [[float(label == name) for name in names] for label in labels]
    return names, np.array(found, dtype=np.float32)


def _gelu(x: Floats) -> Floats:
    """The GELU in its form by tanh (Hendrycks and Gimpel 2016), which numpy has."""
    inner = np.float32((2 / np.pi) ** 0.5) * (x + np.float32(0.044715) * x**3)
    found: Floats = np.float32(0.5) * x * (1 + np.tanh(inner))
    return found


def _softmax(scores: Floats) -> Floats:
    """Of each row."""
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: Floats = exponentials / exponentials.sum(axis=1, keepdims=True)
    return shares

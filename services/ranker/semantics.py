"""Labels of photos by zero-shot classification: a vector of the `clip` space against prepared text prompts.

The method is CLIP's (Radford et al. 2021, section 3.1): the probabilities of a task's labels are the softmax
of the scaled cosines with the labels' mean prompt vectors.
"""

from __future__ import annotations

import re
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.mesh.errors import FailedPrecondition, InvalidArgument

Floats = npt.NDArray[np.float32]

TASKS = ("gender", "category")

# Probability 1 is kept for what a shop states, so a saturated softmax must not reach it.
MAX_PROBABILITY = 0.999

_DIGEST = re.compile(r"[0-9A-Za-z_-]{1,128}")
_ARRAYS = ("labels", "matrix", "bias", "scale")


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
        logits -= logits.max(axis=1, keepdims=True)
        exponentials = np.exp(logits)
        shares: Floats = exponentials / exponentials.sum(axis=1, keepdims=True)
        return shares


@dataclass(frozen=True, slots=True)
class Semantics:
    """The prompts of every task for one model."""

    tasks: Mapping[str, Task]

    @property
    def dimension(self) -> int:
        """Length of the vectors that can be classified."""
        return len(next(iter(self.tasks.values())).matrix[0])

    def distribution(self, task: str, vector: Floats, *, field: str) -> dict[str, float]:
        """Probability of each label of a task for one vector; raises InvalidArgument naming `field`."""
        prompts = self.tasks[task]
        shares = prompts.probabilities(self._checked(vector[np.newaxis], field))[0]
        return dict(zip(prompts.labels, shares.tolist(), strict=True))

    def classify(self, vectors: Floats, *, field: str) -> list[dict[str, tuple[str, float]]]:
        """The most probable label of each task, with its probability, for float32 [n, dimension].

        Raises InvalidArgument naming `field` for another dimension.
        """
        found: list[dict[str, tuple[str, float]]] = [{} for _ in vectors]
        for name, prompts in self.tasks.items():
            shares = prompts.probabilities(self._checked(vectors, field))
            for labels, best, share in zip(found, shares.argmax(axis=1), shares.max(axis=1), strict=True):
                labels[name] = (prompts.labels[best], min(float(share), MAX_PROBABILITY))
        return found

    def _checked(self, vectors: Floats, field: str) -> Floats:
        if vectors.shape[1] != self.dimension:
            raise InvalidArgument(
                field, f"{vectors.shape[1]} dimensions where the prompts have {self.dimension}"
            )
        return vectors


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

    Raises FailedPrecondition with the reason SEMANTICS_MISSING.
    """
    try:
        # Opened here: numpy leaves a file that is no archive open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            tasks = {name: _task(*(arrays[f"{name}.{array}"] for array in _ARRAYS)) for name in TASKS}
    except FileNotFoundError as error:
        raise FailedPrecondition(
            f"no prompts were prepared for the model {path.stem}; `vitrine models pull` prepares them",
            reason="SEMANTICS_MISSING",
        ) from error
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise FailedPrecondition(
            f"the prompts of the model {path.stem} cannot be read: {error}", reason="SEMANTICS_MISSING"
        ) from error
    return Semantics(tasks)


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

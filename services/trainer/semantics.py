"""The ranker's prompt matrices: every label of the taxonomy as a vector of the clip space."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from services.embedder.engine import Vectors
from services.embedder.towers import Space

SPACE = "clip"

Prompts = Mapping[str, Mapping[str, list[str]]]


class TextEngine(Protocol):
    """What is needed of the embedder's engine."""

    @property
    def spaces(self) -> tuple[Space, ...]:
        """All spaces, available or not."""
        ...

    def embed_texts(self, texts: Sequence[str], spaces: Sequence[str]) -> dict[str, Vectors]:
        """As `Engine.embed_texts`."""
        ...

    def softmax_scale(self, space: str) -> float:
        """As `Engine.softmax_scale`."""
        ...


def path_of(models_dir: Path, digest: str) -> Path:
    """Where the artefact for the clip model of that digest lies."""
    return models_dir / "semantics" / f"{digest}.npz"


def prepare(engine: TextEngine, prompts: Prompts, models_dir: Path) -> Path:
    """Writes the artefact for the engine's clip model, unless it is there for the same prompts.

    For each task of `prompts` (task -> label -> texts) it holds `<task>.labels` (unicode [n]),
    `<task>.matrix` (float32 [n, dim], L2-normalised mean of each label's prompt vectors), `<task>.bias`
    (float32 [n], zeros) and `<task>.scale` (float32, what cosines are multiplied by before the softmax);
    `prompts` is their sha256. Raises FailedPrecondition where the engine has no clip model.
    """
    digest = hashlib.sha256(json.dumps(prompts, sort_keys=True).encode()).hexdigest()
    scale = engine.softmax_scale(SPACE)
    space = next(space for space in engine.spaces if space.name == SPACE)
    path = path_of(models_dir, space.digest)
    if path.is_file():
        with np.load(path) as stored:
            if str(stored["prompts"]) == digest:
                return path
    arrays: dict[str, Any] = {"prompts": np.array(digest)}
    for task, labels in prompts.items():
        arrays[f"{task}.labels"] = np.array(list(labels))
        arrays[f"{task}.matrix"] = np.stack([_mean(engine, texts) for texts in labels.values()])
        arrays[f"{task}.bias"] = np.zeros(len(labels), dtype=np.float32)
        arrays[f"{task}.scale"] = np.float32(scale)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".fresh.npz")
    np.savez(fresh, **arrays)
    fresh.replace(path)
    return path


def _mean(engine: TextEngine, texts: list[str]) -> Vectors:
    mean: Vectors = engine.embed_texts(texts, [SPACE])[SPACE].mean(axis=0)
    return mean / np.linalg.norm(mean)

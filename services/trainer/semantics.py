"""The ranker's artefact: every label of the taxonomy as a vector of the clip space, and the trained probes.

A probe tells a shop's words; here each becomes the label of the taxonomy that it means.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from safetensors import SafetensorError, safe_open

from services.embedder import weights
from services.embedder.engine import Vectors
from services.embedder.towers import Space
from services.mesh.errors import FailedPrecondition
from services.mesh.registries import sha256
from services.ranker import taxonomy

SPACE = "clip"
PROBES_FILE = "probes.safetensors"

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


# What a probe was trained to tell -> the ranker's task, and how a shop's word is understood.
_TASKS: Mapping[str, tuple[str, Callable[[str], str | None]]] = {
    "gender": ("gender", taxonomy.gender_of),
    # Where both were trained, types tell more.
    "category": ("category", taxonomy.family_of),
    "type": ("category", taxonomy.family_of),
}


def path_of(models_dir: Path, digest: str) -> Path:
    """Where the artefact for the clip model of that digest lies."""
    return models_dir / "semantics" / f"{digest}.npz"


def prepare(engine: TextEngine, prompts: Prompts, models_dir: Path, probes: Path | None = None) -> Path:
    """Writes the artefact for the engine's clip model, unless it is there for the same prompts and probes.

    For each task of `prompts` (task -> label -> texts) it holds `<task>.labels` (unicode [n]),
    `<task>.matrix` (float32 [n, dim], L2-normalised mean of each label's prompt vectors), `<task>.bias`
    (float32 [n], zeros) and `<task>.scale` (float32, what cosines are multiplied by before the softmax);
    `prompts` is the sha256 of them and the probes. For each task that the file `probes` of the trainer tells
    it holds what `services.ranker.semantics.read` reads. Raises FailedPrecondition where the engine has no
    clip model, and (reason WEIGHTS_MISSING) where `probes` is a file of something else.
    """
    heads = {} if probes is None or not probes.is_file() else _heads(probes)
    digest = hashlib.sha256(json.dumps(prompts, sort_keys=True).encode())
    if probes is not None and heads:
        digest.update(sha256(probes).encode())
    scale = engine.softmax_scale(SPACE)
    space = next(space for space in engine.spaces if space.name == SPACE)
    path = path_of(models_dir, space.digest)
    if path.is_file():
        with np.load(path) as stored:
            if str(stored["prompts"]) == digest.hexdigest():
                return path
    arrays: dict[str, Any] = {"prompts": np.array(digest.hexdigest()), **heads}
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


def _heads(path: Path) -> dict[str, Any]:
    """A file of probes as arrays, each output under the label that its word means, or "" for none."""
    try:
        with safe_open(path, framework="numpy") as file:
            described = json.loads((file.metadata() or {})["probes"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (SafetensorError, KeyError, ValueError) as error:
        raise FailedPrecondition(
            f"{path} holds no probes; `{weights.TRAIN_COMMAND}` trains them anew",
            reason=weights.WEIGHTS_MISSING,
        ) from error
    arrays: dict[str, Any] = {}
    told_best = {task: name for name, (task, _) in _TASKS.items() if name in described["tasks"]}
    for task, name in told_best.items():
        label_of = _TASKS[name][1]
        told = described["tasks"][name]
        prefix = f"probes.{task}."
        arrays[f"{prefix}labels"] = np.array([label_of(word) or "" for word in told["labels"]])
        arrays[f"{prefix}spaces"] = np.array([each["space"] for each in described["inputs"]])
        arrays[f"{prefix}digests"] = np.array([each["digest"] for each in described["inputs"]])
        arrays[f"{prefix}temperature"] = np.float32(told["temperature"])
        layers = [layer for layer in ("hidden", "out") if f"{name}.{layer}.weight" in tensors]
        for number, layer in enumerate(layers):
            arrays[f"{prefix}weight{number}"] = tensors[f"{name}.{layer}.weight"]
            arrays[f"{prefix}bias{number}"] = tensors[f"{name}.{layer}.bias"]
    return arrays

"""A run on disk: its checkpoint and its log, so that a killed run can be gone on with."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from services.trainer.catalogues import Photo
from services.trainer.recipes import Recipe

_CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch: mean losses, the score that decides which epoch is best, and further figures."""

    epoch: int
    train_loss: float
    validation_loss: float
    score: float
    figures: Mapping[str, float]
    duration_s: float


class Run:
    """The state of training one part, in a folder that is named for all that the result depends on.

    So a run with another recipe or other photos never goes on with this one's checkpoint. With `resume` an
    unfinished run is gone on with, otherwise it starts anew.
    """

    def __init__(self, work: Path, name: str, fingerprint: str, *, resume: bool) -> None:
        self.name = name
        self.directory = work / f"{name}-{fingerprint}"
        if not resume:
            self.finish()
        self.directory.mkdir(parents=True, exist_ok=True)

    def load(self) -> dict[str, Any] | None:
        """What the last `save` was given, on the CPU; None before the first."""
        path = self.directory / _CHECKPOINT
        if not path.is_file():
            return None
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state

    def save(self, state: Mapping[str, Any]) -> None:
        """Keeps tensors and plain values; a kill leaves either the old state or the new one."""
        path = self.directory / _CHECKPOINT
        fresh = path.with_suffix(".fresh")
        torch.save(dict(state), fresh)
        fresh.replace(path)

    def finish(self) -> None:
        """Removes what only an unfinished run needs."""
        shutil.rmtree(self.directory, ignore_errors=True)


def fingerprint(recipe: Recipe, digests: Sequence[str], *parts: Sequence[Photo]) -> str:
    """What names a run: its recipe, the digests of the models it stands on, and its photos in their order."""
    facts = [json.dumps(asdict(recipe), sort_keys=True), *digests]
    facts += [",".join(photo.name for photo in part) for part in parts]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def write_log(history: Sequence[Epoch], path: Path) -> None:
    """Writes JSON lines, one an epoch."""
    path.write_text("".join(json.dumps(asdict(each)) + "\n" for each in history))

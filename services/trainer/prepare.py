"""Everything that must lie in a models directory before the mesh can start."""

from __future__ import annotations

from pathlib import Path

from services.embedder import weights
from services.embedder.engine import Engine
from services.embedder.weights import Model, Progress, Step
from services.ranker import taxonomy
from services.trainer import semantics


def prepare(models_dir: Path, progress: Progress, *, clip: str | None = None) -> list[Model]:
    """Pulls every model and makes the ranker's artefact from the clip model; what is there already is kept.

    Arguments and errors are those of `weights.pull`.
    """
    models = weights.pull(weights.MODELS, models_dir, progress, clip=clip)
    progress(Step("semantics", "embedding the taxonomy", 0.0))
    semantics.prepare(Engine(models_dir), taxonomy.prompts(), models_dir)
    progress(Step("semantics", "done", 1.0))
    return models

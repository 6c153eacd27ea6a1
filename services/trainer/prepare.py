"""Everything that must lie in a models directory before the mesh can start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from services.embedder import towers, weights
from services.embedder.engine import Engine
from services.embedder.weights import Model, Progress, Step
from services.ranker import taxonomy
from services.trainer import semantics


def prepare(
    models_dir: Path,
    progress: Progress,
    *,
    names: Sequence[str] = weights.MODELS,
    given: Mapping[str, str] | None = None,
) -> list[Model]:
    """Pulls models and makes the ranker's artefact from the clip model; what is there already is kept.

    Arguments and errors are those of `weights.pull`. A clip model that cannot be used is an error only where
    it is among `names`.
    """
    models = weights.pull(names, models_dir, progress, given=given)
    (clip,) = (space for space in towers.survey(models_dir) if space.name == semantics.SPACE)
    if clip.unavailable_reason and "clip" not in names:
        progress(Step("semantics", f"left out: {clip.unavailable_reason}", 1.0))
        return models
    progress(Step("semantics", "embedding the taxonomy", 0.0))
    probes = weights.head(models_dir, semantics.PROBES_FILE)
    semantics.prepare(Engine(models_dir), taxonomy.prompts(), models_dir, probes)
    progress(Step("semantics", "done", 1.0))
    return models

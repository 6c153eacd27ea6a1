from __future__ import annotations

import numpy as np

from services.embedder.engine import Engine
from services.embedder.weights import Step
from services.mesh.models_dir import models_dir_default
from services.ranker import taxonomy
from services.trainer import prepare, semantics


def test_everything_is_there_after_it() -> None:
    """Models are pulled and the artefact of the served clip model holds the taxonomy."""
    directory = models_dir_default()
    steps: list[Step] = []
    models = prepare.prepare(directory, steps.append)
    assert not any(model.problem for model in models)
    assert steps[-1] == Step("semantics", "done", 1.0)
    digest = next(space.digest for space in Engine(directory).spaces if space.name == "clip")
    with np.load(semantics.path_of(directory, digest)) as stored:
        for task, labels in taxonomy.prompts().items():
            assert stored[f"{task}.labels"].tolist() == list(labels)

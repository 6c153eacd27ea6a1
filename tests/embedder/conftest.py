from __future__ import annotations

from pathlib import Path

import pytest

from services.embedder import weights
from services.embedder.engine import Engine
from services.mesh.models_dir import models_dir_default


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """The models directory of this machine with every model in it, fetched where it is missing."""
    directory = models_dir_default()
    weights.pull(weights.MODELS, directory, lambda step: None)
    return directory


@pytest.fixture(scope="session")
def engine(models_dir: Path) -> Engine:
    return Engine(models_dir)

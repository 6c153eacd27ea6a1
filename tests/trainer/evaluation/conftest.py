from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.trainer.evaluation import catalogue, measurement
from services.trainer.evaluation.embedding import Models
from services.trainer.evaluation.measurement import Choices, Evaluation
from services.trainer.seen import Seen
from tests.embedder.engines import MeanColourEngine
from tests.trainer.evaluation.shops import Evaluate
from vitrine.catalogs.folder import CatalogFolder


class Painter(MeanColourEngine):
    """Sees enough of a picture to tell drawn things apart."""

    image_size = 64


@pytest.fixture(scope="session")
def evaluate(drawn_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Evaluate:
    """Evaluates the drawn catalogue in a space of mean colours, by `Choices` given by name."""
    cache = tmp_path_factory.mktemp("evaluation")

    def run(seen: Seen | None = None, **choices: Any) -> Evaluation:
        return measurement.evaluate(
            catalogue.read(CatalogFolder(drawn_catalog)),
            Models(MeanColourEngine.spaces[:1], Painter),
            models_dir=cache,
            cache=cache,
            seen=seen,
            choices=Choices(**choices),
            begin=lambda what, total: lambda done: None,
        )

    return run


@pytest.fixture(scope="session")
def evaluation(evaluate: Evaluate) -> Evaluation:
    """All products asked, nothing chosen."""
    return evaluate()

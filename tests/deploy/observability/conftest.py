from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.observability.scenes import Scene, played


@pytest.fixture(scope="package")
def scene(tmp_path_factory: pytest.TempPathFactory, drawn_catalog: Path) -> Iterator[Scene]:
    """One for all tests here."""
    with played(tmp_path_factory.mktemp("scene"), drawn_catalog) as scene:
        yield scene

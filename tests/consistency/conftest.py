from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.consistency import mesh as meshes
from tests.consistency.mesh import Mesh
from tests.consistency.processes import Process


@pytest.fixture(scope="package")
def helpers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, Process]]:
    """An embedder and a ranker."""
    with meshes.helpers(tmp_path_factory.mktemp("helpers")) as processes:
        yield processes


@pytest.fixture(scope="package")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory, helpers: tuple[Process, Process]) -> Iterator[Mesh]:
    """A mesh on SQLite and memory."""
    directory: Path = tmp_path_factory.mktemp("sqlite")
    with meshes.sqlite() as backend, meshes.running(directory, backend, *helpers) as mesh:
        yield mesh


@pytest.fixture(scope="package")
def on_mongodb(tmp_path_factory: pytest.TempPathFactory, helpers: tuple[Process, Process]) -> Iterator[Mesh]:
    """A mesh on MongoDB and Redis."""
    directory: Path = tmp_path_factory.mktemp("mongodb")
    with meshes.mongodb(directory) as backend, meshes.running(directory, backend, *helpers) as mesh:
        yield mesh


@pytest.fixture(params=["on_sqlite", "on_mongodb"])
async def mesh(request: pytest.FixtureRequest) -> Mesh:
    """Each of the two meshes, whole: whatever a test has killed is started again."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Mesh)
    await found.ready()
    return found

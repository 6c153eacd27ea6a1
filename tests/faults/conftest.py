from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.meshes import LiveMesh, live_mesh


class Household:
    """One mesh on one data directory, which can be started again."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self._directory = directory
        self._stack = stack
        self.mesh: LiveMesh = stack.enter_context(live_mesh(directory))

    def restart(self) -> LiveMesh:
        """End the mesh, unless it has been ended, and start it again on its data and ports."""
        self._stack.close()
        self.mesh = self._stack.enter_context(live_mesh(self._directory, self.mesh.layout))
        return self.mesh


@pytest.fixture(scope="package")
def household(tmp_path_factory: pytest.TempPathFactory, drawn_catalog: Path) -> Iterator[Household]:
    """A mesh with the catalogue `steady`, which no test writes to."""
    with ExitStack() as stack:
        household = Household(tmp_path_factory.mktemp("faults"), stack)
        household.mesh.index(drawn_catalog, "steady")
        yield household


@pytest.fixture
def mesh(household: Household) -> LiveMesh:
    """The mesh that runs now."""
    return household.mesh

"""Fixtures that tests of several services share."""

from __future__ import annotations

import os
from pathlib import Path

# Small products of matrices on busy cores: threads that wait for each other take a hundred times as long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.drawings import write_catalog

# How long an example takes is a matter of the machine, and no test is about it. In CI the same examples run
# each time, so that a red run is about the change; everywhere else new ones look for what nobody thought of.
settings.register_profile(
    "vitrine", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("vitrine")

# Drawn with the values of all variables, as they are by default, tracebacks take seconds.
structlog.dev.ConsoleRenderer.get_active().exception_formatter = structlog.dev.plain_traceback

_TESTS = Path(__file__).resolve().parent
_PAGE = _TESTS / "gateway" / "http" / "page"
_SHARED_DATA = _TESTS.parents[1] / "shared" / "data"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of a folder run in one process: they share engines, browsers and meshes."""
    for item in items:
        # Those of the page are a third of all.
        group = "page" if item.path.is_relative_to(_PAGE) else item.path.relative_to(_TESTS).parts[0]
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def shared_data() -> Path | None:
    """The folder of real catalogues if it lies beside the checkout, else None: then use `drawn_catalog`."""
    return _SHARED_DATA if _SHARED_DATA.is_dir() else None


@pytest.fixture(scope="session")
def drawn_catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue folder of 64 drawn products. Shared by all tests of a run: read only."""
    return write_catalog(tmp_path_factory.mktemp("drawn") / "catalog")

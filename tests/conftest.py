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
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.drawings import write_catalog

# How long an example takes is a matter of the machine, and no test is about it. In CI the same examples run
# each time, so that a red run is about the change; everywhere else new ones look for what nobody thought of.
settings.register_profile(
    "vitrine", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("vitrine")

# Drawn with the values of all variables, as they are by default, tracebacks take seconds.
structlog.dev.ConsoleRenderer.get_active().exception_formatter = structlog.dev.plain_traceback

_SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
_PAGE = "tests/gateway/http/page/"


class FolderScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist publishes no types
    """Tests of a folder run in one process: they share engines, browsers and meshes.

    Marks of groups would do as well, but xdist 3.8 does not see them in pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        # Those of the page are a third of all.
        return _PAGE if nodeid.startswith(_PAGE) else "/".join(nodeid.partition("::")[0].split("/")[:2])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FolderScheduling:
    """Share the tests out among processes, when there are several."""
    return FolderScheduling(config, log)


@pytest.fixture(scope="session")
def shared_data() -> Path | None:
    """The folder of real catalogues if it lies beside the checkout, else None: then use `drawn_catalog`."""
    return _SHARED_DATA if _SHARED_DATA.is_dir() else None


@pytest.fixture(scope="session")
def drawn_catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue folder of 64 drawn products. Shared by all tests of a run: read only."""
    return write_catalog(tmp_path_factory.mktemp("drawn") / "catalog")

"""Fixtures that tests of several services share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drawings import write_catalog

_SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path | None:
    """The folder of real catalogues if it lies beside the checkout, else None: then use `drawn_catalog`."""
    return _SHARED_DATA if _SHARED_DATA.is_dir() else None


@pytest.fixture(scope="session")
def drawn_catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue folder of 64 drawn products. Shared by all tests of a run: read only."""
    return write_catalog(tmp_path_factory.mktemp("drawn") / "catalog")

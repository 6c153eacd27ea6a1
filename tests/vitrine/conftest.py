from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.vitrine.fake_gateway import FakeGateway


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    """A fake gateway that listens, without a catalogue."""
    with FakeGateway().serving() as serving:
        yield serving


@pytest.fixture(autouse=True)
def _own_directories(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing here sees a mesh that runs on this machine."""
    monkeypatch.setenv("VITRINE_DATA_DIR", str(tmp_path_factory.mktemp("data")))
    monkeypatch.setenv("VITRINE_MODELS_DIR", str(tmp_path_factory.mktemp("models")))
    for name in ("VITRINE_SERVER", "VITRINE_CATALOG"):
        monkeypatch.delenv(name, raising=False)

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from services.mesh import channel
from tests.patience import let_connections_take_a_minute
from tests.vitrine.fake_gateway import FakeGateway
from vitrine.cli import browser, status
from vitrine.client import Timeouts, base
from vitrine.supervisor import health

TIMEOUT_S = 120.0


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


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """That this machine stands still for some seconds is no fault of whoever is asked."""
    monkeypatch.setattr(base, "Timeouts", partial(Timeouts, read_s=TIMEOUT_S))
    for module in (browser, health, status):
        monkeypatch.setattr(module, "_TIMEOUT_S", TIMEOUT_S)


@pytest.fixture(autouse=True)
def _channels(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection may take a minute; who is not there is asked as often as ever, but soon again."""
    retries: dict[str, Any] = copy.deepcopy(channel._RETRIES)
    retries["retryPolicy"]["initialBackoff"] = "0.01s"
    monkeypatch.setattr(channel, "_RETRIES", retries)
    let_connections_take_a_minute(monkeypatch)

from __future__ import annotations

import functools
import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from services.gateway import assembly, query_log, shard_sets
from services.gateway.dependencies import Dependencies
from services.gateway.store import database
from tests.gateway.rigs import Rig, rigged
from tests.patience import let_connections_take_a_minute

PATIENCE_S = 60.0

# To read the well-known authorities takes longer than to serve.
_authorities = functools.cache(httpx.create_ssl_context)


@pytest.fixture(autouse=True)
def _known_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetchers of one process trust the same authorities."""
    monkeypatch.setattr(httpx, "create_ssl_context", _authorities)


@pytest.fixture(autouse=True)
def _no_power_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here nothing need outlive the machine, and every picture would wait for the disk."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still for some seconds is no fault of what is asked meanwhile."""
    let_connections_take_a_minute(monkeypatch)
    monkeypatch.setattr(assembly, "Dependencies", functools.partial(Dependencies, timeout_s=PATIENCE_S))
    monkeypatch.setattr(assembly, "TIMEOUT_S", PATIENCE_S)
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", int(PATIENCE_S * 1e3))
    monkeypatch.setattr(query_log, "CLOSE_TIMEOUT_S", PATIENCE_S)
    monkeypatch.setattr(shard_sets, "LOOK_TIMEOUT_S", PATIENCE_S)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A gateway with two shards and no catalogue."""
    async with rigged(tmp_path) as made:
        yield made


@pytest.fixture
async def shop(rig: Rig) -> Rig:
    """The same with a catalogue of 30 products."""
    await rig.fill(30)
    return rig

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.gateway.rigs import Rig, rigged


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

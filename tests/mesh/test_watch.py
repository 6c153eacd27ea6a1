from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.mesh import watch as watching


class Health:
    def __init__(self) -> None:
        self.told: asyncio.Queue[str] = asyncio.Queue()

    async def serving(self) -> None:
        self.told.put_nowait("serving")

    async def not_serving(self) -> None:
        self.told.put_nowait("not serving")


class Stage:
    name = "stage"

    def __init__(self) -> None:
        self.stuck = False
        self.dead = 0
        self.revived = 0

    def revive(self) -> int:
        revived, self.dead = self.dead, 0
        self.revived += revived
        if revived:
            self.stuck = False
        return revived


@pytest.fixture
async def watched(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Health, Stage]]:
    monkeypatch.setattr(watching, "PERIOD_S", 0.005)
    health, stage = Health(), Stage()
    task = asyncio.create_task(watching.watch(health, [Stage(), stage]))
    yield health, stage
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_health_follows_the_stages(watched: tuple[Health, Stage]) -> None:
    """One stage that is stuck makes the process not serving, and once it moves on it serves again."""
    health, stage = watched
    for _ in range(2):
        stage.stuck = True
        assert await asyncio.wait_for(health.told.get(), 60) == "not serving"
        stage.stuck = False
        assert await asyncio.wait_for(health.told.get(), 60) == "serving"
    assert health.told.empty()


async def test_dead_threads_are_replaced(watched: tuple[Health, Stage]) -> None:
    """A stage that lost its threads is told, gets new ones and serves again."""
    health, stage = watched
    stage.dead, stage.stuck = 1, True
    told = [await asyncio.wait_for(health.told.get(), 60) for _ in range(2)]
    assert told == ["not serving", "serving"]
    assert stage.revived == 1

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest

from services.mesh import watch as watching


class Health:
    def __init__(self) -> None:
        self.told: asyncio.Queue[str] = asyncio.Queue()

    def stuck(self) -> None:
        self.told.put_nowait("stuck")

    def moving(self) -> None:
        self.told.put_nowait("moving")

    def alive(self) -> None:
        self.told.put_nowait("alive")

    def not_alive(self) -> None:
        self.told.put_nowait("not alive")


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
    """One stage that is stuck makes the process stuck, and once it moves on the process does."""
    health, stage = watched
    for _ in range(2):
        stage.stuck = True
        assert await asyncio.wait_for(health.told.get(), 60) == "stuck"
        stage.stuck = False
        assert await asyncio.wait_for(health.told.get(), 60) == "moving"
    assert health.told.empty()


async def test_dead_threads_are_replaced(watched: tuple[Health, Stage]) -> None:
    """A stage that lost its threads is told, gets new ones and moves on."""
    health, stage = watched
    stage.dead, stage.stuck = 1, True
    told = [await asyncio.wait_for(health.told.get(), 60) for _ in range(2)]
    assert told == ["stuck", "moving"]
    assert stage.revived == 1


async def test_what_stands_still_for_long_is_not_alive(
    watched: tuple[Health, Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage that is stuck for a minute on end will not move again by itself; should it, all is well."""
    health, stage = watched
    assert watching.STANDSTILL_S == 60
    stage.stuck = True
    assert await asyncio.wait_for(health.told.get(), 60) == "stuck"
    monkeypatch.setattr(watching, "STANDSTILL_S", 0.0)
    assert await asyncio.wait_for(health.told.get(), 60) == "not alive"
    stage.stuck = False
    told = [await asyncio.wait_for(health.told.get(), 60) for _ in range(2)]
    assert sorted(told) == ["alive", "moving"]
    assert health.told.empty()


async def test_only_time_on_end_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage that is stuck now and then, for longer altogether, is alive."""
    now_s = 0.0
    rounds = 0

    async def next_round(_period_s: float) -> None:
        nonlocal now_s, rounds
        now_s += 40
        rounds += 1
        stage.stuck = rounds % 3 != 0
        if rounds == 30:
            raise asyncio.CancelledError

    health, stage = Health(), Stage()
    monkeypatch.setattr(watching, "time", SimpleNamespace(monotonic=lambda: now_s))
    monkeypatch.setattr(watching, "asyncio", SimpleNamespace(sleep=next_round))
    with pytest.raises(asyncio.CancelledError):
        await watching.watch(health, [stage])
    told = [health.told.get_nowait() for _ in range(health.told.qsize())]
    assert set(told) == {"moving", "stuck"}

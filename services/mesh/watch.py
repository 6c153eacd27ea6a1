"""Health that follows the work: a process whose stage stands still says so, and says when it goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

import structlog

_log = structlog.get_logger(__name__)

PERIOD_S = 0.25
# A stage that has stood still for so long will not move again by itself.
STANDSTILL_S = 60.0


class Watched(Protocol):
    """Something that works in threads, such as `services.mesh.batching.stage.Stage`."""

    name: str

    @property
    def stuck(self) -> bool:
        """True when it makes no progress."""
        ...

    def revive(self) -> int:
        """Replace threads that died; how many."""
        ...


class Health(Protocol):
    """Who is told, such as `services.mesh.server.Host`."""

    def stuck(self) -> None:
        """Work stands still."""
        ...

    def moving(self) -> None:
        """It goes on."""
        ...

    def alive(self) -> None:
        """No restart is needed."""
        ...

    def not_alive(self) -> None:
        """Nothing but a restart helps."""
        ...


async def watch(health: Health, stages: Sequence[Watched]) -> None:
    """Look at the stages every `PERIOD_S`, tell `health` of changes, replace dead threads; endless.

    With a stage that is stuck the process is, and when it has been for `STANDSTILL_S` on end, it is not
    alive.
    """
    well, alive = True, True
    stuck_since_s: dict[str, float] = {}
    while True:
        now_s = time.monotonic()
        stuck_since_s = {stage.name: stuck_since_s.get(stage.name, now_s) for stage in stages if stage.stuck}
        if well and stuck_since_s:
            _log.error("no progress", stages=list(stuck_since_s))
            health.stuck()
        elif not well and not stuck_since_s:
            health.moving()
        well = not stuck_since_s
        moves = all(now_s - since_s < STANDSTILL_S for since_s in stuck_since_s.values())
        if moves is not alive:
            (health.alive if moves else health.not_alive)()
        alive = moves
        for stage in stages:
            if revived := stage.revive():
                _log.error("threads died and were replaced", stage=stage.name, threads=revived)
        await asyncio.sleep(PERIOD_S)

"""Health that follows the work: a process whose stage stands still says so, and says when it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog

_log = structlog.get_logger(__name__)

PERIOD_S = 0.25


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

    async def serving(self) -> None:
        """All is well."""
        ...

    async def not_serving(self) -> None:
        """It is not."""
        ...


async def watch(health: Health, stages: Sequence[Watched]) -> None:
    """Look at the stages every `PERIOD_S`, tell `health` of changes, replace dead threads; endless."""
    well = True
    while True:
        stuck = [stage.name for stage in stages if stage.stuck]
        if well and stuck:
            _log.error("no progress", stages=stuck)
            await health.not_serving()
        elif not well and not stuck:
            await health.serving()
        well = not stuck
        for stage in stages:
            if revived := stage.revive():
                _log.error("threads died and were replaced", stage=stage.name, threads=revived)
        await asyncio.sleep(PERIOD_S)

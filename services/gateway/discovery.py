"""Finds the replicas behind names, as they come and go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from services.gateway.replicas import Replicas
from services.mesh import resolving
from services.mesh.errors import Unavailable
from services.mesh.resolving import Name

_log = structlog.get_logger()

PERIOD_S = 2.0

Resolve = Callable[[Name], Awaitable[tuple[str, ...]]]
"""Gives the addresses behind a name, one of each process; raises Unavailable."""


class Discovery:
    """Keeps shards what their names stand for.

    A name that is not resolved stands for what it did: its addresses may well answer while DNS does not, and
    those that do not are set aside.
    """

    def __init__(self, shards: Sequence[Replicas], resolve: Resolve = resolving.resolve) -> None:
        self._shards = [shard for shard in shards if shard.names]
        self._resolve = resolve
        self._known: dict[Name, tuple[str, ...]] = {}
        self._failing: set[Name] = set()

    async def watch(self) -> None:
        """Look every PERIOD_S; endless."""
        while True:
            await asyncio.sleep(PERIOD_S)
            await self.look()

    async def look(self) -> None:
        """Resolve all names at once, and use what they stand for now."""
        await asyncio.gather(*(self._look_up(name) for shard in self._shards for name in shard.names))
        for shard in self._shards:
            shard.stand_for(
                {target: name.host for name in shard.names for target in self._known.get(name, ())}
            )

    async def _look_up(self, name: Name) -> None:
        try:
            self._known[name] = await self._resolve(name)
        except Unavailable as error:
            # Once an outage, not once a try.
            tell = _log.debug if name in self._failing else _log.warning
            tell("name not resolved", target=name.target, error=error.message)
            self._failing.add(name)
        else:
            self._failing.discard(name)

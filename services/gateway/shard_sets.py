"""The sets of shards there are, each a whole view of the log, and which of them searches go to.

Going over from one to the other ("blue/green") is how the number of shards changes. An answer always comes
from one set alone.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence

import structlog

from services.gateway import metrics
from services.gateway.replicas import Place, Replica, Replicas, State
from services.mesh import channel
from services.mesh.channel import Connect
from services.mesh.errors import DeadlineExceeded, Unavailable, VitrineError
from vitrine.v1 import vectorsearch_pb2

_log = structlog.get_logger()

PERIOD_S = 1.0
LOOK_TIMEOUT_S = 1.0

Status = vectorsearch_pb2.GetShardStatusResponse


class ShardSet:
    """One set: its shards in order, `targets` of each one's replicas. `name` is that of its setting."""

    def __init__(
        self, name: str, targets: Sequence[Sequence[str]], connect: Connect = channel.connect
    ) -> None:
        self.name = name
        self.shards = tuple(
            Replicas(replicas, Place(shard, len(targets)), connect) for shard, replicas in enumerate(targets)
        )

    @property
    def replicas(self) -> list[Replica]:
        """Those of all its shards."""
        return [replica for shard in self.shards for replica in shard.all]

    async def look(self) -> dict[Replica, Status]:
        """What those replicas tell that are in their place and answer in time."""
        replicas = self.replicas
        told = await asyncio.gather(*(_look(replica) for replica in replicas))
        states = Counter(replica.state for replica in replicas)
        for state in State:
            metrics.REPLICAS.labels(self.name, state.value).set(states[state])
        found = {
            replica: status for replica, status in zip(replicas, told, strict=True) if status is not None
        }
        for number, shard in enumerate(self.shards):
            caught_up = sum(replica in found and found[replica].caught_up for replica in shard.all)
            metrics.SHARD_REPLICAS.labels(self.name, str(number)).set(caught_up)
        return found

    async def holds(self, revision: int) -> bool:
        """Whether all replicas that answer now reflect a revision, and every shard has one that does."""
        told = await self.look()
        return self.is_covered(told, revision) and all(its.revision >= revision for its in told.values())

    def is_covered(self, told: dict[Replica, Status], revision: float) -> bool:
        """Whether every shard has a replica that has caught up and reflects `revision`."""
        return all(
            any(
                replica in told and told[replica].caught_up and told[replica].revision >= revision
                for replica in shard.all
            )
            for shard in self.shards
        )


class ShardSets:
    """The set in use and, where one is set up, the next one: used as soon and as long as it is covered.

    `head` gives the last revision of the log that this process knows, `connect` makes the connections.
    """

    def __init__(
        self,
        targets: Sequence[Sequence[str]],
        next_targets: Sequence[Sequence[str]],
        *,
        head: Callable[[], int],
        connect: Connect = channel.connect,
    ) -> None:
        current = ShardSet("shards", targets, connect)
        self.in_use = current
        self._by_preference = [current]
        if next_targets:
            self._by_preference.insert(0, ShardSet("next_shards", next_targets, connect))
        self._head = head
        # What a set must reflect to be covered: the head as it was at the check before, so that one that
        # keeps up with a log that grows all the time is. The first check has nothing to go by.
        self._wanted: float = math.inf

    @property
    def all(self) -> tuple[ShardSet, ...]:
        """Every set that is set up: the one in use at the start, then the next one where there is one."""
        return tuple(reversed(self._by_preference))

    async def close(self) -> None:
        """Close all connections."""
        for each in self._by_preference:
            for shard in each.shards:
                await shard.close()

    async def watch(self) -> None:
        """Check every PERIOD_S; endless."""
        while True:
            await self.check()
            await asyncio.sleep(PERIOD_S)

    async def check(self) -> None:
        """Look at all replicas of both sets, and use the set that is to be preferred."""
        told = await asyncio.gather(*(each.look() for each in self._by_preference))
        covered = [
            each
            for each, its in zip(self._by_preference, told, strict=True)
            if each.is_covered(its, self._wanted)
        ]
        # Where none is covered there is nothing better than what is in use.
        chosen = covered[0] if covered else self.in_use
        if chosen is not self.in_use:
            _log.info(
                "other shards are used", set=chosen.name, before=self.in_use.name, revision=self._wanted
            )
            self.in_use = chosen
        for each in self._by_preference:
            metrics.SHARD_SET_IN_USE.labels(each.name).set(each is chosen)
        feed_revisions = [status.feed_revision for its in told for status in its.values()]
        self._wanted = max([self._head(), *feed_revisions])


async def _look(replica: Replica) -> Status | None:
    asked_at_s = time.monotonic()
    try:
        with replica.at_work():
            status = await replica.look(timeout_s=LOOK_TIMEOUT_S)
    except Unavailable as error:
        replica.is_silent = isinstance(error.__cause__, DeadlineExceeded)
        # One that is slow to tell may have much to do; calls find out whether it answers.
        if not replica.is_silent:
            replica.set_aside(asked_at_s=asked_at_s)
        return None
    except VitrineError:
        return None
    replica.is_silent = False
    return None if replica.state is State.MISPLACED else status

"""The copies of a shard: what is known of each, which is asked next, and which are left alone for a while."""

from __future__ import annotations

import asyncio
import enum
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

import grpc.aio
import structlog

from services.gateway import metrics, upstream
from services.gateway.settings import MAX_REPLICAS
from services.mesh import channel, resolving
from services.mesh.backoff import Backoff
from services.mesh.channel import Connect
from vitrine.v1 import vectorsearch_pb2, vectorsearch_pb2_grpc

_log = structlog.get_logger()


Request = TypeVar("Request")
Response = TypeVar("Response")

_ASIDE_FIRST_S = 0.25
# A process that was restarted is asked again after this time at the latest.
_ASIDE_MAX_S = 5.0


class State(enum.Enum):
    """What a replica last told of itself."""

    UNKNOWN = "unknown"
    """Nothing yet, or nothing since it failed: another process may have taken its place."""
    MISPLACED = "misplaced"
    """It is another shard, or one of another number of shards, than the settings say."""
    CATCHING_UP = "catching_up"
    """It has not been at the feed's head since it started."""
    CAUGHT_UP = "caught_up"


@dataclass(frozen=True, slots=True)
class Place:
    """Where in its set a shard is: the first of two is 0 of 2."""

    shard: int
    shards: int


@dataclass(frozen=True, slots=True)
class Rpc(Generic[Request, Response]):
    """An RPC of a shard: its name, where a stub has it, and which revision an answer reflects."""

    name: str
    of: Callable[
        [vectorsearch_pb2_grpc.VectorSearchServiceAsyncStub],
        grpc.aio.UnaryUnaryMultiCallable[Request, Response],
    ]
    revision: Callable[[Response], int]


class Replica:
    """One process that serves a shard, at `target`; see `channel.connect` for `server_name`.

    `revision` is the last one it told of, `highest` the highest ever, `in_hand` how many calls it is at.
    `told` is what it said when it last answered a look, None when it never has; it is silent when it took too
    long to tell anything when it was last looked at.
    """

    def __init__(
        self, target: str, place: Place, connect: Connect = channel.connect, *, server_name: str = ""
    ) -> None:
        self.target = target
        self.state = State.UNKNOWN
        self.is_silent = False
        self.told: vectorsearch_pb2.GetShardStatusResponse | None = None
        self.revision = 0
        self.highest = 0
        self.in_hand = 0
        self.turn = 0
        self.aside_since_s = -math.inf
        self._aside_until_s = -math.inf
        self._place = place
        self._backoff = Backoff(initial_s=_ASIDE_FIRST_S, max_s=_ASIDE_MAX_S, jitter=0.2)
        self._idle = asyncio.Event()
        self._channel = connect(target, server_name=server_name)
        self._stub = vectorsearch_pb2_grpc.VectorSearchServiceStub(self._channel)

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()

    async def leave(self) -> None:
        """Close the connection once no call is in hand, or at once when cancelled; none may begin any more.

        What was chosen for a call a moment ago is at work by the time that a task which does this begins.
        """
        try:
            while self.in_hand:
                self._idle.clear()
                await self._idle.wait()
        finally:
            await self.close()

    async def ask(self, rpc: Rpc[Request, Response], request: Request, *, timeout_s: float) -> Response:
        """Call an RPC; raises as `upstream.ask`."""
        return await upstream.ask("shard", rpc.of(self._stub), request, timeout_s=timeout_s)

    async def look(self, *, timeout_s: float) -> vectorsearch_pb2.GetShardStatusResponse:
        """Ask what it is and how far it has come; `state` and `revision` follow. Raises as `ask`."""
        status = await upstream.ask(
            "shard", self._stub.GetShardStatus, vectorsearch_pb2.GetShardStatusRequest(), timeout_s=timeout_s
        )
        self.told = status
        if Place(status.shard, status.shards) != self._place:
            if self.state is not State.MISPLACED:
                _log.error(
                    "replica is not what the settings say",
                    target=self.target,
                    is_shard=f"{status.shard} of {status.shards}",
                    should_be=f"{self._place.shard} of {self._place.shards}",
                )
            self.state = State.MISPLACED
            return status
        self.state = State.CAUGHT_UP if status.caught_up else State.CATCHING_UP
        self._note(status.revision)
        return status

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Count a call in hand meanwhile."""
        self.in_hand += 1
        try:
            yield
        finally:
            self.in_hand -= 1
            if not self.in_hand:
                self._idle.set()

    @property
    def is_aside(self) -> bool:
        """Whether it failed a short while ago."""
        return time.monotonic() < self._aside_until_s

    def set_aside(self, *, asked_at_s: float) -> None:
        """Leave it alone for a while, longer each time, after the failure of a call of that time."""
        # All calls in hand fail together when a process dies, which is one failure.
        if self.is_aside or asked_at_s < self.aside_since_s:
            return
        self.aside_since_s = time.monotonic()
        # Once an outage, not once a try.
        tell = _log.debug if self._backoff.failures else _log.warning
        aside_s = self._backoff.next_s()
        self._aside_until_s = self.aside_since_s + aside_s
        self.state = State.UNKNOWN
        metrics.REPLICAS_SET_ASIDE.inc()
        tell("replica set aside", target=self.target, aside_s=round(aside_s, 3))

    def welcome(self, revision: int) -> None:
        """It has answered, as of that revision."""
        self._note(revision)
        self._aside_until_s = -math.inf
        self._backoff.reset()

    def _note(self, revision: int) -> None:
        self.revision = revision
        self.highest = max(self.highest, revision)


class Replicas:
    """All copies of one shard: those whose targets are addresses, and those behind `names` as they are found.

    At most MAX_REPLICAS are used.
    """

    def __init__(self, targets: Sequence[str], place: Place, connect: Connect = channel.connect) -> None:
        self.place = place
        self.names = tuple(resolving.parsed(target) for target in targets if resolving.is_name(target))
        self._fixed = tuple(target for target in targets if not resolving.is_name(target))
        self.all = tuple(Replica(target, place, connect) for target in self._fixed)
        self._connect = connect
        self._turns = 0
        # The last revision that those which have left are known to have reflected.
        self._left_at = 0
        self._leaving: set[asyncio.Task[None]] = set()
        self._too_many = 0

    async def close(self) -> None:
        """Close all connections."""
        for task in self._leaving:
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        for replica in self.all:
            await replica.close()

    def stand_for(self, found: Mapping[str, str]) -> None:
        """Use these addresses behind the names from now on; `found` has the server's name by its target.

        Those that are not among them any more finish their calls.
        """
        stay = [each for each in self.all if each.target in self._fixed or each.target in found]
        known = {each.target for each in stay}
        new = [target for target in found if target not in known]
        room = MAX_REPLICAS - len(stay)
        self._tell_of_too_many(max(0, len(new) - room))
        for replica in set(self.all) - set(stay):
            self._left_at = max(self._left_at, replica.highest)
            task = asyncio.create_task(replica.leave())
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
            _log.info("replica left", shard=self.place.shard, target=replica.target)
        for target in new[:room]:
            stay.append(Replica(target, self.place, self._connect, server_name=found[target]))
            _log.info("replica found", shard=self.place.shard, target=target)
        self.all = tuple(stay)

    def next(self, *, besides: Collection[Replica] = ()) -> Replica | None:
        """The one to ask: of those not set aside the one with the fewest calls in hand.

        Those that are not known to have caught up come last, before them those that are silent; equals take
        turns. When all are set aside it is the one that has been so longest. None when there is none left
        that is in its place.
        """
        usable = [each for each in self.all if each.state is not State.MISPLACED and each not in besides]
        free = [each for each in usable if not each.is_aside]
        if free:
            return self._on_turn(min(free, key=_preference))
        return self._on_turn(min(usable, key=lambda each: each.aside_since_s)) if usable else None

    def spare(self, *, besides: Collection[Replica], revision: int) -> Replica | None:
        """One that could answer at once, as of `revision` at least, or None."""
        ready = [
            each
            for each in self.all
            if each.state is State.CAUGHT_UP
            and not each.is_silent
            and not each.is_aside
            and each.revision >= revision
            and each not in besides
        ]
        return self._on_turn(min(ready, key=_preference)) if ready else None

    def is_behind(self, replica: Replica) -> bool:
        """Whether it has yet to come to where this shard has been seen before.

        One that was started anew may hold next to nothing. Lag after it has caught up is no such thing.
        """
        highest = max((each.highest for each in self.all), default=0)
        return replica.state is not State.CAUGHT_UP and replica.revision < max(highest, self._left_at)

    def _tell_of_too_many(self, count: int) -> None:
        if count and count != self._too_many:
            _log.warning("replicas are not used", shard=self.place.shard, unused=count, most=MAX_REPLICAS)
        self._too_many = count

    def _on_turn(self, replica: Replica) -> Replica:
        self._turns += 1
        replica.turn = self._turns
        return replica


def _preference(replica: Replica) -> tuple[bool, bool, int, int]:
    return replica.state is not State.CAUGHT_UP, replica.is_silent, replica.in_hand, replica.turn

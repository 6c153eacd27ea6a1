"""One shard asked: a replica of it, another one when that fails, another one beside it when that is slow."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Generic

from services.gateway import metrics
from services.gateway.hedging import HedgeBudget, Latencies
from services.gateway.replicas import Replica, Replicas, Request, Response, Rpc, State
from services.mesh.errors import DeadlineExceeded, ResourceExhausted, Unavailable, VitrineError

NOT_REACHED = "REVISION_NOT_REACHED"

# With less time than this left nothing is begun.
_LEAST_S = 0.001
# A replica that was given this share of a shard's time has had its chance.
_FAIR_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Answer(Generic[Response]):
    """What a shard answered. `is_behind` says that it came from a replica that lacks much for now."""

    response: Response
    is_behind: bool


class ShardCalls:
    """Asks shards; a replica that does not answer within `timeout_s` has failed.

    A call is followed by one more when its replica is away or behind the revision asked for, and joined by
    one more when it takes longer than 95% of the recent calls of its RPC, which may happen to 5% of all. A
    refusal for load is a reason for neither: more calls would make it worse.
    """

    def __init__(self, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._latencies: defaultdict[str, Latencies] = defaultdict(Latencies)
        self._budget = HedgeBudget()

    async def ask(
        self,
        shard: Replicas,
        rpc: Rpc[Request, Response],
        request: Request,
        *,
        min_revision: int,
        timeout_s: float,
    ) -> Answer[Response]:
        """The first good answer within `timeout_s`; raises what the last replica that was asked has said."""
        self._budget.earn()
        call = _Call(
            shard=shard,
            rpc=rpc,
            request=request,
            min_revision=min_revision,
            ends_at_s=time.monotonic() + timeout_s,
            fair_s=self._timeout_s * _FAIR_SHARE,
            latencies=self._latencies[rpc.name],
            budget=self._budget,
        )
        try:
            return await call.answer()
        finally:
            await call.end()


@dataclass(kw_only=True)
class _Call(Generic[Request, Response]):
    """The tries of one call, of which the first good one counts.

    A replica that was given `fair_s` and has not answered has failed; with less than that it is not judged,
    or callers in a hurry would make all replicas look ill.
    """

    shard: Replicas
    rpc: Rpc[Request, Response]
    request: Request
    min_revision: int
    ends_at_s: float
    fair_s: float
    latencies: Latencies
    budget: HedgeBudget
    asked: list[Replica] = field(default_factory=list)
    running: set[asyncio.Task[Answer[Response]]] = field(default_factory=set)
    hedge: asyncio.Task[Answer[Response]] | None = None
    may_follow: bool = True

    async def answer(self) -> Answer[Response]:
        """The first good answer."""
        started_s = time.monotonic()
        first = self.shard.next()
        if first is None:
            raise Unavailable(
                f"no replica of shard {self.shard.place.shard} can be used", reason="SHARD_UNAVAILABLE"
            )
        slow_s = self.latencies.slow_s if self._is_at_once(first) else None
        self._start(first)
        while True:
            wait_s = None if slow_s is None else max(started_s + slow_s - time.monotonic(), 0)
            done, self.running = await asyncio.wait(
                self.running, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                slow_s = None
                self._join()
                continue
            good = next((task for task in done if task.exception() is None), None)
            if good is not None:
                if self.hedge is not None:
                    metrics.HEDGES.labels("won" if good is self.hedge else "lost").inc()
                if good is self.hedge:
                    # What the first would have taken is not known, but to leave slow calls out would pull
                    # the percentile down and make for more hedges.
                    self.latencies.add(time.monotonic() - started_s)
                return good.result()
            errors = [task.exception() for task in done]
            self.may_follow &= not any(isinstance(error, ResourceExhausted) for error in errors)
            if self.running or self._follow(errors[-1]):
                continue
            if self.hedge is not None:
                metrics.HEDGES.labels("failed").inc()
            assert errors[-1] is not None
            raise errors[-1]

    async def end(self) -> None:
        """Cancel the tries that are not needed any more."""
        for task in self.running:
            task.cancel()
        await asyncio.gather(*self.running, return_exceptions=True)

    def _start(self, replica: Replica) -> asyncio.Task[Answer[Response]]:
        self.asked.append(replica)
        task = asyncio.create_task(self._try(replica))
        self.running.add(task)
        return task

    def _join(self) -> None:
        """Ask another replica beside the first, where there is one that can answer and the budget allows."""
        spare = self.shard.spare(besides=self.asked, revision=self.min_revision)
        if spare is None:
            return
        if self.budget.spend():
            self.hedge = self._start(spare)
        else:
            metrics.HEDGES.labels("withheld").inc()

    def _follow(self, error: BaseException | None) -> bool:
        """Ask another replica after an error that is the first one's own, once; whether that was done."""
        if not self.may_follow or not isinstance(error, Unavailable):
            return False
        if self.ends_at_s - time.monotonic() < _LEAST_S:
            return False
        other = self.shard.next(besides=self.asked)
        if other is None:
            return False
        self.may_follow = False
        metrics.FAILOVERS.labels("behind" if error.reason == NOT_REACHED else "away").inc()
        self._start(other)
        return True

    async def _try(self, replica: Replica) -> Answer[Response]:
        started_s = time.monotonic()
        at_once = self._is_at_once(replica)
        with replica.at_work():
            try:
                if replica.state is not State.CAUGHT_UP:
                    await replica.look(timeout_s=self._left_s())
                asked_s = time.monotonic()
                # One that is another shard than it should be would give a wrong answer.
                response: Response | None = None
                if replica.state is not State.MISPLACED:
                    response = await replica.ask(self.rpc, self.request, timeout_s=self._left_s())
            except VitrineError as error:
                if _is_ill(error, is_fair=self.ends_at_s - started_s >= self.fair_s):
                    replica.set_aside(asked_at_s=started_s)
                raise
        if response is None:
            raise Unavailable(f"{replica.target} is another shard", reason="SHARD_UNAVAILABLE")
        replica.welcome(self.rpc.revision(response))
        if at_once:
            self.latencies.add(time.monotonic() - asked_s)
        return Answer(response, is_behind=self.shard.is_behind(replica))

    def _is_at_once(self, replica: Replica) -> bool:
        """Whether it need not wait for the feed, as far as is known, which others would have to as well."""
        return replica.revision >= self.min_revision

    def _left_s(self) -> float:
        return max(self.ends_at_s - time.monotonic(), _LEAST_S)


def _is_ill(error: VitrineError, *, is_fair: bool) -> bool:
    """Whether an error speaks against the replica: it is away, is broken, or has not answered in time."""
    if isinstance(error.__cause__, DeadlineExceeded):
        return is_fair
    # One that breaks at once has few calls in hand, and would get all of them.
    is_broken = type(error) is VitrineError
    return is_broken or (isinstance(error, Unavailable) and error.reason != NOT_REACHED)

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from services.gateway import replicas
from services.gateway.replicas import Place, Replica, Replicas, State
from services.mesh.errors import Unavailable
from tests.gateway.shard_rigs import copied
from tests.log_lines import captured
from tests.patience import until


@asynccontextmanager
async def unserved(count: int) -> AsyncIterator[Replicas]:
    """Replicas that nobody serves, all caught up as far as is known."""
    made = Replicas([f"127.0.0.1:{port}" for port in range(1, count + 1)], Place(0, 1))
    for each in made.all:
        each.state = State.CAUGHT_UP
    try:
        yield made
    finally:
        for each in made.all:
            await each.close()


def fail(replica: Replica) -> None:
    """One more failure, of a call of this moment, whether it is still set aside or not."""
    replica._aside_until_s = 0.0
    replica.set_aside(asked_at_s=float("inf"))


async def test_the_least_busy_is_asked() -> None:
    """The replica with the fewest calls in hand is next, and equals take turns."""
    async with unserved(3) as shard:
        first, second, third = shard.all
        assert [shard.next() for _ in range(4)] == [first, second, third, first]
        with second.at_work(), third.at_work(), third.at_work():
            assert [shard.next() for _ in range(2)] == [first, first]
            with first.at_work(), first.at_work():
                assert shard.next() is second
        assert shard.next(besides=[first, second]) is third


async def test_one_that_failed_is_left_alone_and_tried_again() -> None:
    """A replica that failed is not asked for a while, which ends by itself."""
    async with unserved(2) as shard:
        first, second = shard.all
        first.set_aside(asked_at_s=float("inf"))
        assert {shard.next() for _ in range(4)} == {second}
        await until(lambda: not first.is_aside)
        # What has taken its place is not known, so it comes last until it was looked at.
        assert shard.next() is second
        first.state = State.CAUGHT_UP
        assert shard.next() is first


async def test_the_time_aside_grows() -> None:
    """Each failure in a row sets it aside for longer, up to a limit; an answer ends that."""
    async with unserved(1) as shard:
        [replica] = shard.all
        times_s = []
        for _ in range(10):
            fail(replica)
            times_s.append(replica._aside_until_s - replica.aside_since_s)
        assert times_s[0] <= 0.25
        assert all(later > 1.5 * sooner for sooner, later in pairwise(times_s[:5]))
        assert max(times_s) <= 5.0
        replica.welcome(1)
        assert not replica.is_aside
        fail(replica)
        assert replica._aside_until_s - replica.aside_since_s <= 0.25


async def test_calls_that_fail_together_are_one_failure() -> None:
    """All calls end when a process dies, which is one failure; those begun before it do not count later."""
    async with unserved(1) as shard:
        [replica] = shard.all
        asked_at_s = time.monotonic()
        for _ in range(50):
            replica.set_aside(asked_at_s=asked_at_s)
        aside_since_s = replica.aside_since_s
        await until(lambda: not replica.is_aside)
        replica.set_aside(asked_at_s=aside_since_s - 1)
        assert not replica.is_aside
        fail(replica)
        assert replica._aside_until_s - replica.aside_since_s <= 0.5


async def test_when_all_failed_the_first_to_fail_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all replicas set aside it is the turn of the one that has been so longest."""
    monkeypatch.setattr(replicas, "_ASIDE_FIRST_S", 60)
    monkeypatch.setattr(replicas, "_ASIDE_MAX_S", 60)
    async with unserved(3) as shard:
        first, second, third = shard.all
        for each in (second, first, third):
            fail(each)
        assert shard.next() is second
        assert shard.next(besides=[second]) is first


async def test_those_that_may_lack_something_come_last() -> None:
    """Silent replicas are asked after those that answer, and after those the ones that have not caught up."""
    async with unserved(3) as shard:
        first, second, third = shard.all
        first.state = State.CATCHING_UP
        second.is_silent = True
        assert shard.next() is third
        assert shard.next(besides=[third]) is second
        assert shard.next(besides=[third, second]) is first


async def test_a_spare_can_answer_at_once() -> None:
    """A hedge goes only to a replica that is known to answer, as of the revision asked for."""
    async with unserved(2) as shard:
        first, second = shard.all
        second.welcome(5)
        assert shard.spare(besides=[first], revision=5) is second
        assert shard.spare(besides=[first, second], revision=5) is None
        assert shard.spare(besides=[first], revision=6) is None
        second.state = State.CATCHING_UP
        assert shard.spare(besides=[first], revision=5) is None
        second.state, second.is_silent = State.CAUGHT_UP, True
        assert shard.spare(besides=[first], revision=5) is None
        second.is_silent = False
        fail(second)
        assert shard.spare(besides=[first], revision=5) is None


async def test_one_that_starts_anew_is_behind_until_it_is_where_the_shard_was() -> None:
    """What any replica has reflected before must be there again; lag after catching up is no such thing."""
    async with unserved(2) as shard:
        first, second = shard.all
        second.welcome(7)
        assert not shard.is_behind(first)
        first.state = State.CATCHING_UP
        assert shard.is_behind(first)
        second.state = State.CATCHING_UP
        second.welcome(3)
        assert shard.is_behind(second)
        first.welcome(7)
        assert not shard.is_behind(first)


async def test_one_in_the_wrong_place_is_never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replica that says it is another shard is told of once and not asked until it is what it should be."""
    async with copied(2, 1) as served:
        shard = Replicas([served.targets[1][0]], Place(0, 2))
        [replica] = shard.all
        logs = captured(monkeypatch, replicas)
        for _ in range(3):
            await replica.look(timeout_s=60)
            assert shard.next() is None
        assert [line["is_shard"] for line in logs if line["log_level"] == "error"] == ["1 of 2"]
        served.copies[1][0].shard = 0
        await replica.look(timeout_s=60)
        assert shard.next() is replica
        served.copies[1][0].shards = 3
        await replica.look(timeout_s=60)
        assert shard.next() is None
        await replica.close()


async def test_a_look_tells_how_far_it_is() -> None:
    """Its revision and whether it has caught up are known after a look; one that is away raises."""
    async with copied(1, 1) as served:
        [[copy]] = served.copies
        replica = Replica(served.targets[0][0], Place(0, 1))
        copy.caught_up, copy.revision = False, 4
        await replica.look(timeout_s=60)
        assert (replica.state, replica.revision) == (State.CATCHING_UP, 4)
        copy.caught_up, copy.revision = True, 9
        await replica.look(timeout_s=60)
        assert (replica.state, replica.revision) == (State.CAUGHT_UP, 9)
        copy.status_fault.error = Unavailable("away")
        with pytest.raises(Unavailable):
            await replica.look(timeout_s=60)
        await replica.close()

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from services.gateway import shard_sets
from services.gateway.shard_sets import ShardSets
from services.mesh.errors import Unavailable
from tests.gateway.shard_rigs import PRODUCTS, CopySet, copied, counted


@dataclass
class Rig:
    sets: ShardSets
    old: CopySet
    new: CopySet
    head: int = PRODUCTS

    async def used_after(self, checks: int) -> str:
        for _ in range(checks):
            await self.sets.check()
        return self.sets.in_use.name


@asynccontextmanager
async def rigged(replicas: int = 1) -> AsyncIterator[Rig]:
    """Two shards, and three to go over to."""
    async with AsyncExitStack() as stack:
        old = await stack.enter_async_context(copied(2, 1))
        new = await stack.enter_async_context(copied(3, replicas))
        sets = ShardSets(old.targets, new.targets, head=lambda: rig.head)
        stack.push_async_callback(sets.close)
        rig = Rig(sets, old, new)
        yield rig


async def test_a_covered_set_is_gone_over_to() -> None:
    """The next set is used once each of its shards reflects the head, which a metric tells."""
    async with rigged() as rig:
        assert rig.sets.in_use.name == "shards"
        assert await rig.used_after(2) == "next_shards"
        assert await rig.used_after(2) == "next_shards"
        assert counted("vitrine_gateway_shard_set_in_use", set="next_shards") == 1
        assert counted("vitrine_gateway_shard_set_in_use", set="shards") == 0


async def test_a_set_that_lacks_something_is_not_used() -> None:
    """A shard that has not caught up, or is not at the head, or is another one, keeps the old set in use."""
    async with rigged() as rig:
        shard = rig.new.all[2]
        shard.caught_up = False
        assert await rig.used_after(3) == "shards"
        shard.caught_up, shard.revision = True, PRODUCTS - 1
        assert await rig.used_after(3) == "shards"
        shard.revision, shard.shard = PRODUCTS, 1
        assert await rig.used_after(3) == "shards"
        assert counted("vitrine_gateway_replicas", set="next_shards", state="misplaced") == 1
        shard.shard = 2
        shard.status_fault.error = Unavailable("away")
        assert await rig.used_after(3) == "shards"
        shard.status_fault.error = None
        assert await rig.used_after(3) == "next_shards"


async def test_one_replica_covers_its_shard() -> None:
    """A shard counts as covered when any of its replicas does."""
    async with rigged(replicas=2) as rig:
        for shard in rig.new.copies:
            shard[0].caught_up = False
        assert await rig.used_after(2) == "next_shards"


async def test_the_old_set_is_gone_back_to() -> None:
    """When the next set is not covered any more the old one is used, and the next one when it is again."""
    async with rigged() as rig:
        assert await rig.used_after(2) == "next_shards"
        rig.new.all[1].status_fault.error = Unavailable("away")
        assert await rig.used_after(1) == "shards"
        rig.new.all[1].status_fault.error = None
        assert await rig.used_after(1) == "next_shards"


async def test_without_a_covered_set_nothing_changes() -> None:
    """When no set is covered, as when the feed stands still, the one in use stays."""
    async with rigged() as rig:
        assert await rig.used_after(2) == "next_shards"
        rig.head += 1
        assert await rig.used_after(3) == "next_shards"
    async with rigged() as rig:
        rig.head += 1
        assert await rig.used_after(3) == "shards"


async def test_a_log_that_grows_all_the_time_is_kept_up_with() -> None:
    """A set need not be at a head that is newer than the check before."""
    async with rigged() as rig:
        for _ in range(3):
            await rig.sets.check()
            for copy in [*rig.old.all, *rig.new.all]:
                copy.revision = rig.head
            rig.head += 10
        assert rig.sets.in_use.name == "next_shards"


async def test_the_feed_may_know_a_later_head_than_this_process() -> None:
    """What another gateway has written counts too, as soon as a shard has heard of it."""
    async with rigged() as rig:
        rig.head = 0
        for copy in rig.old.all:
            copy.revision = PRODUCTS + 5
        assert await rig.used_after(3) == "shards"


async def test_one_that_is_slow_to_tell_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look without an answer in time makes a replica one that is asked last, but sets it not aside."""
    async with rigged() as rig:
        slow = rig.sets.in_use.shards[0].all[0]
        await rig.sets.check()
        with monkeypatch.context() as hurried:
            hurried.setattr(shard_sets, "LOOK_TIMEOUT_S", 0.2)
            rig.old.all[0].status_fault.delay_s = 60
            await rig.sets.check()
        assert slow.is_silent
        assert not slow.is_aside
        rig.old.all[0].status_fault.delay_s = 0
        await rig.sets.check()
        assert not slow.is_silent


async def test_one_that_is_away_is_set_aside() -> None:
    """A look that finds nobody sets the replica aside before a search has to find out."""
    async with rigged() as rig:
        rig.old.all[0].status_fault.error = Unavailable("away")
        before = counted("vitrine_gateway_replicas_set_aside_total")
        await rig.sets.check()
        assert counted("vitrine_gateway_replicas_set_aside_total") == before + 1
        assert rig.sets.in_use.shards[0].all[0].is_aside

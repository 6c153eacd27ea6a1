from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import vitrine
from services.gateway import shard_sets
from services.gateway.dependencies import Dependencies
from services.gateway.embedding import Embedder
from services.gateway.mesh_status import StatusFlow
from services.gateway.shard_sets import ShardSets
from services.mesh import channel
from services.mesh.errors import Unavailable
from tests.gateway.rigs import Rig, rigged, text
from tests.gateway.shard_rigs import PRODUCTS, CopySet, copied
from vitrine.v1 import status_pb2, vectorsearch_pb2

CAUGHT_UP = status_pb2.REPLICA_STATE_CAUGHT_UP
AWAY = status_pb2.REPLICA_STATE_UNSPECIFIED


async def status_of(rig: Rig) -> status_pb2.GetStatusResponse:
    return await rig.gateway.status.get_status(status_pb2.GetStatusRequest())


async def settled(rig: Rig) -> status_pb2.GetStatusResponse:
    """The status once the watch has seen that every replica has caught up."""
    async with asyncio.timeout(60):
        while True:
            told = await status_of(rig)
            if all(each.state == CAUGHT_UP and not each.lag for each in told.replicas):
                return told
            await asyncio.sleep(0.05)


@dataclass
class Watched:
    """Two shards of two replicas, three of one to go over to, and who tells of them."""

    flow: StatusFlow
    sets: ShardSets
    old: CopySet
    new: CopySet

    async def replicas(self) -> dict[str, status_pb2.ReplicaStatus]:
        """What is told of each replica once they have been looked at, by target."""
        await self.sets.check()
        told = await self.flow.get_status(status_pb2.GetStatusRequest())
        return {each.target: each for each in told.replicas}


@asynccontextmanager
async def watched(head: int = PRODUCTS) -> AsyncIterator[Watched]:
    async with AsyncExitStack() as stack:
        old = await stack.enter_async_context(copied(2, 2))
        new = await stack.enter_async_context(copied(3, 1))
        sets = ShardSets(old.targets, new.targets, head=lambda: head)
        stack.push_async_callback(sets.close)
        nobody = await stack.enter_async_context(channel.connect("127.0.0.1:1"))
        flow = StatusFlow(
            sets=sets,
            dependencies=Dependencies({}),
            embedder=Embedder(nobody),
            head=lambda: head,
            timeout_s=60,
        )
        yield Watched(flow, sets, old, new)


class TestReplicas:
    async def test_every_replica_of_every_set_is_told(self) -> None:
        """Each comes with its set, its shard and its address, and one of the sets is in use."""
        async with watched() as mesh:
            told = list((await mesh.replicas()).values())
            assert [(each.set, each.shard) for each in told] == [
                *(("shards", 0), ("shards", 0), ("shards", 1), ("shards", 1)),
                *(("next_shards", 0), ("next_shards", 1), ("next_shards", 2)),
            ]
            assert [each.target for each in told[:2]] == mesh.old.targets[0]
            assert {each.set for each in told if each.in_use} == {"shards"}
            told = list((await mesh.replicas()).values())
            assert {each.set for each in told if each.in_use} == {"next_shards"}

    async def test_before_they_were_looked_at(self) -> None:
        """Of those that nobody has asked yet nothing is known, and nothing is made up."""
        async with watched() as mesh:
            told = await mesh.flow.get_status(status_pb2.GetStatusRequest())
            assert {(each.state, each.revision, each.rows) for each in told.replicas} == {(AWAY, 0, 0)}

    async def test_how_far_they_are(self) -> None:
        """One that lags says by how much, and one that is ahead of what this gateway knows does not lag."""
        async with watched(head=PRODUCTS + 5) as mesh:
            first, second, third, fourth = mesh.old.all
            first.caught_up, first.revision = False, 3
            second.revision = PRODUCTS + 9
            third.shard = 0
            told = await mesh.replicas()
            behind, ahead, misplaced, usual = (told[each] for pair in mesh.old.targets for each in pair)
            assert (behind.state, behind.revision, behind.lag) == (
                status_pb2.REPLICA_STATE_CATCHING_UP,
                3,
                PRODUCTS + 2,
            )
            assert (ahead.state, ahead.revision, ahead.lag) == (CAUGHT_UP, PRODUCTS + 9, 0)
            assert misplaced.state == status_pb2.REPLICA_STATE_MISPLACED
            assert (usual.state, usual.revision, usual.lag) == (CAUGHT_UP, fourth.revision, 5)

    async def test_what_they_hold(self) -> None:
        """Products, rows, memory and kinds of index are those of all catalogues and generations."""

        def generation(memory_bytes: int, *kinds: str) -> vectorsearch_pb2.ShardGeneration:
            indexes = [vectorsearch_pb2.SpaceIndex(kind=kind) for kind in kinds]
            return vectorsearch_pb2.ShardGeneration(memory_bytes=memory_bytes, indexes=indexes)

        async with watched() as mesh:
            mesh.old.all[0].catalogs = [
                vectorsearch_pb2.ShardCatalog(
                    products=3, rows=5, generations=[generation(100, "sq8", "flat"), generation(20, "hnsw")]
                ),
                vectorsearch_pb2.ShardCatalog(products=1, rows=1, generations=[generation(4, "sq8")]),
            ]
            told = (await mesh.replicas())[mesh.old.targets[0][0]]
            assert (told.products, told.rows, told.memory_bytes) == (4, 6, 124)
            assert list(told.index_kinds) == ["flat", "hnsw", "sq8"]

    async def test_one_that_is_gone_keeps_its_numbers(self) -> None:
        """A replica that answers no more is told as such, with what it held when it last did."""
        async with watched() as mesh:
            gone = mesh.old.all[0]
            gone.catalogs = [vectorsearch_pb2.ShardCatalog(products=3, rows=5)]
            await mesh.replicas()
            gone.status_fault.error = Unavailable("away")
            told = (await mesh.replicas())[mesh.old.targets[0][0]]
            assert (told.state, told.products, told.rows, told.revision) == (AWAY, 3, 5, PRODUCTS)

    async def test_one_that_is_silent_does_not_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A replica that takes too long to tell how it is counts as one of which nothing is known."""
        async with watched() as mesh:
            await mesh.replicas()
            monkeypatch.setattr(shard_sets, "LOOK_TIMEOUT_S", 0.05)
            mesh.old.all[0].status_fault.delay_s = 60
            told = (await mesh.replicas())[mesh.old.targets[0][0]]
            assert told.state == AWAY

    async def test_calls_in_hand(self) -> None:
        """What a replica is at is told."""
        async with watched() as mesh:
            [replica, *_] = mesh.sets.in_use.replicas
            with replica.at_work(), replica.at_work():
                told = await mesh.replicas()
            assert told[replica.target].in_hand == 2


async def test_a_gateway_at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Head, start, shards, dependencies, stages and searches of a gateway are those that there were."""
    monkeypatch.setattr(shard_sets, "PERIOD_S", 0.05)
    async with rigged(tmp_path) as rig:
        before = await status_of(rig)
        await rig.fill(4)
        await rig.search(text("red"))
        await rig.search(text("red"))
        told = await settled(rig)
        assert told.version == vitrine.__version__
        assert before.start_time == told.start_time
        assert told.revision > before.revision
        assert [each.revision for each in told.replicas] == [told.revision] * 2
        assert {each.name: each.problem for each in told.dependencies} == {
            "embedder": "",
            "ranker": "",
            "store": "",
        }
        counts = {each.stage: each for each in told.stages}
        assert {"embed", "search", "rank", "metadata", "commit"} <= counts.keys()
        assert all(0 <= each.p50_ms <= each.p95_ms <= each.p99_ms for each in told.stages)
        assert told.searches.hit + told.searches.miss - before.searches.hit - before.searches.miss == 2
        assert {each.layer for each in told.cache_lookups} >= {"memory"}
        assert told.cache_bytes > 0


async def test_a_store_that_is_away(tmp_path: Path) -> None:
    """A dependency that fails is told with its problem, and the rest is told all the same."""
    async with rigged(tmp_path) as rig:
        rig.store.is_away = True
        told = {each.name: each for each in (await status_of(rig)).dependencies}
        assert (told["store"].available, told["store"].problem) == (False, "away")
        assert told["ranker"].available


class TestModels:
    async def test_all_that_the_embedder_serves(self, tmp_path: Path) -> None:
        """Models come as the embedder tells them: with their cards, and with why one is missing."""
        async with rigged(tmp_path) as rig:
            rig.embedder.spaces = ["resnet50", "clip"]
            told = await rig.gateway.status.get_models(status_pb2.GetModelsRequest())
            assert [each.spec.space for each in told.models] == ["resnet50", "clip", "triplet"]
            assert [bool(each.unavailable_reason) for each in told.models] == [False, False, True]
            assert told.models[0].card == "# resnet50\n"

    async def test_an_embedder_that_is_away(self, tmp_path: Path) -> None:
        """Without the embedder there is no list, which is an error that says why."""
        async with rigged(tmp_path) as rig:
            rig.embedder.fault.error = Unavailable("gone")
            with pytest.raises(Unavailable) as refused:
                await rig.gateway.status.get_models(status_pb2.GetModelsRequest())
            assert refused.value.reason == "EMBEDDER_UNAVAILABLE"

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from services.gateway import shard_sets
from services.gateway.hedging import MIN_SAMPLES, WINDOW_SAMPLES
from services.gateway.shards import SHARE_OF_DEADLINE, Found, Shards
from services.mesh import deadline
from services.mesh.buckets import bucket_of, shard_of
from services.mesh.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    NotFound,
    ResourceExhausted,
    Unavailable,
    VitrineError,
)
from tests.gateway.shard_rigs import PRODUCTS, Copy, CopySet, copied, counted, ids, ranked, search
from tests.patience import until
from vitrine.v1 import vectorsearch_pb2

# A call that takes longer is hedged, in tests of hedges.
USUAL_S = 0.05


class Rig:
    def __init__(self, shards: Shards, served: CopySet) -> None:
        self.shards = shards
        self.copies = served.copies

    def allow_hedges(self) -> None:
        """Let it seem that there were calls of USUAL_S, and enough of them to pay for two hedges."""
        for _ in range(MIN_SAMPLES):
            self.shards._calls._latencies["SearchVectors"].add(USUAL_S)
        self.shards._calls._budget._tokens = 2.0

    def in_turn(self) -> list[Copy]:
        """The replicas of shard 0, the one first whose turn it is."""
        replicas = self.shards._sets.in_use.shards[0].all
        order = sorted(range(len(replicas)), key=lambda index: replicas[index].turn)
        return [self.copies[0][index] for index in order]

    async def search(self) -> Found:
        return await self.shards.search(search())

    async def vectors(self, *product_ids: str) -> set[str]:
        request = vectorsearch_pb2.GetVectorsRequest(
            catalog="shop", generation="g1", product_ids=product_ids, label_names=["colour"]
        )
        return set(await self.shards.vectors(request))


@asynccontextmanager
async def rigged(
    shards: int, replicas: int, *, timeout_s: float = 60, looked_at: bool = True
) -> AsyncIterator[Rig]:
    """A client of shards that serve; after one look at them only calls change what is known of them."""
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(copied(shards, replicas))
        client = Shards(served.targets, timeout_s=timeout_s)
        stack.push_async_callback(client.close)
        if looked_at:
            await client._sets.check()
        yield Rig(client, served)


def calls(copies: list[Copy]) -> list[int]:
    return [copy.fault.calls for copy in copies]


def hedges() -> dict[str, float]:
    outcomes = ("won", "lost", "failed", "withheld")
    return {outcome: counted("vitrine_gateway_hedges_total", outcome=outcome) for outcome in outcomes}


async def test_one_replica_of_each_shard_answers() -> None:
    """An answer is whole, each shard was asked once, and the replicas of a shard take turns."""
    async with rigged(3, 2) as rig:
        for _ in range(4):
            found = await rig.search()
            assert ids(found.candidates) == ranked()
            assert (found.missing, found.total, found.revision) == ([], 3, PRODUCTS)
        assert [calls(shard) for shard in rig.copies] == [[2, 2]] * 3


async def test_a_copy_answers_for_one_that_is_away() -> None:
    """UNAVAILABLE is followed by the other replica at once, and the one that failed is left alone."""
    async with rigged(2, 2) as rig:
        before = counted("vitrine_gateway_failovers_total", reason="away")
        rig.copies[0][0].fault.error = Unavailable("away")
        for _ in range(5):
            found = await rig.search()
            assert (ids(found.candidates), found.missing) == (ranked(), [])
        assert calls(rig.copies[0]) == [1, 5]
        assert counted("vitrine_gateway_failovers_total", reason="away") == before + 1
        owned = [each for each in ranked() if shard_of(bucket_of("shop", each), 2) == 0]
        rig.copies[0][1].fault.error = Unavailable("away")
        rig.copies[0][0].fault.error = None
        assert await rig.vectors(*owned) == set(owned)


async def test_a_call_is_followed_once() -> None:
    """With all replicas of a shard away, two of them are asked and the shard is missing."""
    async with rigged(2, 3) as rig:
        for copy in rig.copies[0]:
            copy.fault.error = Unavailable("away")
        found = await rig.search()
        assert (found.missing, sum(calls(rig.copies[0]))) == ([0], 2)
        with pytest.raises(Unavailable, match="shard 0"):
            await rig.vectors(*ranked())
        assert sum(calls(rig.copies[0])) == 4


@pytest.mark.parametrize(
    "error", [ResourceExhausted("full"), VitrineError("broken"), FailedPrecondition("other model")]
)
async def test_what_a_copy_would_not_mend_is_not_asked_again(error: VitrineError) -> None:
    """A refusal for load, an answer that broke and a refused request are not followed by another try."""
    async with rigged(1, 2) as rig:
        for copy in rig.copies[0]:
            copy.fault.error = error
        with pytest.raises(VitrineError):
            await rig.search()
        assert sum(calls(rig.copies[0])) == 1


async def test_overload_stays_overload() -> None:
    """Shards that refuse are no outage: who searches or asks for vectors is told when to come back."""
    async with rigged(1, 2) as rig:
        for copy in rig.copies[0]:
            copy.fault.error = ResourceExhausted("busy", retry_after_s=0.2)
        with pytest.raises(ResourceExhausted) as refused:
            await rig.search()
        assert refused.value.retry_after_s == pytest.approx(0.2)
        with pytest.raises(ResourceExhausted):
            await rig.shards.vectors(
                vectorsearch_pb2.GetVectorsRequest(catalog="shop", generation="g1", product_ids=["p1"])
            )


async def test_one_that_breaks_does_not_draw_all_calls() -> None:
    """A replica that fails at once always has the fewest calls in hand, so it is left alone for a while."""
    async with rigged(1, 2) as rig:
        rig.copies[0][0].fault.error = VitrineError("broken")
        with pytest.raises(Unavailable):
            await rig.search()
        for _ in range(5):
            assert ids((await rig.search()).candidates) == ranked()


async def test_a_copy_that_is_further_answers_for_one_that_lags() -> None:
    """A replica that has not reached the revision is followed by one that has, and is not taken for ill."""
    async with rigged(1, 2) as rig:
        rig.copies[0][1].fill(PRODUCTS + 1)
        before = counted("vitrine_gateway_replicas_set_aside_total")
        for _ in range(4):
            found = await rig.shards.search(search(min_revision=PRODUCTS + 1))
            assert (found.revision, found.missing) == (PRODUCTS + 1, [])
        assert counted("vitrine_gateway_replicas_set_aside_total") == before
        with pytest.raises(Unavailable) as refused:
            await rig.shards.search(search(min_revision=PRODUCTS + 2))
        assert refused.value.reason == "REVISION_NOT_REACHED"


async def test_a_replica_without_an_answer_in_time_is_left_alone() -> None:
    """One that had all the time of a shard is set aside; one whose caller was in a hurry is not judged."""
    async with rigged(1, 2, timeout_s=60) as rig:
        late, _ = rig.in_turn()
        # What gRPC says when the time is over, said at once.
        late.fault.error = DeadlineExceeded("late")
        before = counted("vitrine_gateway_replicas_set_aside_total")
        with deadline.within(50):
            assert ids((await rig.search()).candidates) == ranked()
        assert (late.fault.calls, late) == (1, rig.in_turn()[0])
        assert counted("vitrine_gateway_replicas_set_aside_total") == before
        for _ in range(4):
            assert ids((await rig.search()).candidates) == ranked()
        assert counted("vitrine_gateway_replicas_set_aside_total") == before + 1
        assert late.fault.calls == 2


async def test_a_hedge_that_wins() -> None:
    """A call that takes longer than usual is joined by the other replica, and the slow one is cancelled."""
    async with rigged(1, 2, timeout_s=3600) as rig, asyncio.timeout(60):
        rig.allow_hedges()
        before = hedges()
        slow, quick = rig.in_turn()
        slow.fault.delay_s = 3600
        quick.may_begin = lambda: slow.fault.calls == 1
        assert ids((await rig.search()).candidates) == ranked()
        assert hedges() == before | {"won": before["won"] + 1}
        assert (slow.fault.calls, quick.fault.calls) == (1, 1)
        await until(lambda: slow.cancelled == 1)
        assert {request.generation for copy in rig.copies[0] for request in copy.requests} == {"g1"}


async def test_a_hedge_that_loses() -> None:
    """When the first replica answers first after all, the one that joined it is cancelled."""
    async with rigged(1, 2, timeout_s=3600) as rig, asyncio.timeout(60):
        rig.allow_hedges()
        before = hedges()
        first, second = rig.in_turn()
        first.may_begin = lambda: second.fault.calls == 1
        second.fault.delay_s = 3600
        assert ids((await rig.search()).candidates) == ranked()
        assert hedges() == before | {"lost": before["lost"] + 1}
        await until(lambda: second.cancelled == 1)


async def test_hedges_keep_to_their_budget() -> None:
    """However many calls are slow, one in twenty of all calls is hedged at most."""
    async with rigged(1, 2) as rig:
        before = hedges()
        for _ in range(MIN_SAMPLES):
            await rig.search()
        latencies = rig.shards._calls._latencies["SearchVectors"]
        assert latencies.slow_s is not None
        # How long they have taken is the machine's affair.
        for _ in range(WINDOW_SAMPLES):
            latencies.add(0.001)
        for copy in rig.copies[0]:
            copy.fault.delay_s = 0.02
        for _ in range(20):
            assert ids((await rig.search()).candidates) == ranked()
        after = hedges()
        sent = sum(after[outcome] - before[outcome] for outcome in ("won", "lost"))
        assert 1 <= sent <= (MIN_SAMPLES + 20) * 0.05
        assert after["withheld"] > before["withheld"]


async def test_without_enough_samples_there_is_no_hedge() -> None:
    """What is slow is not known from a few calls."""
    async with rigged(1, 2) as rig:
        before = hedges()
        rig.copies[0][0].fault.delay_s = 2 * USUAL_S
        for _ in range(3):
            assert ids((await rig.search()).candidates) == ranked()
        assert hedges() == before


async def test_a_call_that_waits_for_a_revision_is_not_hedged() -> None:
    """The other replica would have to wait for the same feed."""
    async with rigged(1, 2) as rig:
        rig.allow_hedges()
        before = hedges()
        for copy in rig.copies[0]:
            copy.fault.delay_s = 2 * USUAL_S
            copy.fill(PRODUCTS + 1)
        await rig.shards.search(search(min_revision=PRODUCTS + 1))
        assert hedges() == before


async def test_there_is_no_hedge_after_a_refusal_for_load() -> None:
    """RESOURCE_EXHAUSTED ends the call, and of a hedge it brings no third replica into it."""
    async with rigged(1, 3) as rig:
        for copy in rig.copies[0]:
            copy.fault.error = ResourceExhausted("full")
        before = hedges()
        with pytest.raises(ResourceExhausted):
            await rig.search()
        assert (hedges(), sum(calls(rig.copies[0]))) == (before, 1)
        for copy in rig.copies[0]:
            copy.fault.calls = 0
        rig.allow_hedges()
        replicas = rig.shards._sets.in_use.replicas
        first = rig.in_turn()[0]
        first.fault.error = Unavailable("away")
        # Once the other's refusal has come, and its call alone is in hand.
        first.may_begin = lambda: (
            sum(calls(rig.copies[0])) == 1 and sum(replica.in_hand for replica in replicas) == 1
        )
        with pytest.raises(Unavailable):
            await rig.search()
        assert hedges() == before | {"failed": before["failed"] + 1}
        assert sorted(calls(rig.copies[0])) == [0, 1, 1]


async def test_every_call_carries_what_remains_of_the_deadline() -> None:
    """A shard has its share of the caller's time, a second replica what is left of that."""
    async with rigged(1, 2) as rig:
        rig.copies[0][0].fault.delay_s = 0.5
        rig.copies[0][0].fault.error = Unavailable("away")
        with deadline.within(20):
            await rig.search()
        [first_s], [second_s] = (copy.remaining_s for copy in rig.copies[0])
        # On the wire times are rounded up, to a tenth of a second at this length.
        assert first_s <= 20 * SHARE_OF_DEADLINE + 0.1
        assert second_s <= first_s - 0.3


async def test_what_a_wrong_replica_holds_is_never_in_an_answer() -> None:
    """From the first call on, a replica that is another shard is not asked; alone, its shard is missing."""
    async with rigged(2, 2, looked_at=False) as rig:
        wrong = rig.copies[0][0]
        wrong.shard = 1
        for _ in range(4):
            found = await rig.search()
            assert (ids(found.candidates), found.missing) == (ranked(), [])
        rig.copies[1][0].shards = rig.copies[1][1].shards = 3
        rig.copies[1][0].fault.error = rig.copies[1][1].fault.error = Unavailable("restarts")
        await rig.search()
        rig.copies[1][0].fault.error = rig.copies[1][1].fault.error = None
        for _ in range(3):
            found = await rig.search()
            assert found.missing == [1]
            assert set(ids(found.candidates)) == set(rig.copies[0][1].products)
        assert calls([wrong]) == [0]


async def test_one_that_starts_anew_leaves_its_shard_missing() -> None:
    """A replica that has yet to come to where its shard was answers, but the shard counts as missing."""
    async with rigged(2, 1) as rig:
        assert (await rig.search()).missing == []
        [restarted] = rig.copies[0]
        restarted.fault.error = Unavailable("restarts")
        assert (await rig.search()).missing == [0]
        restarted.fault.error = None
        restarted.fill(PRODUCTS - 5, products=20)
        restarted.caught_up = False
        lost = next(
            product_id
            for product_id in (f"p{number}" for number in range(20, PRODUCTS))
            if shard_of(bucket_of("shop", product_id), 2) == 0
        )
        found = await rig.search()
        assert (found.missing, found.revision) == ([0], PRODUCTS - 5)
        assert lost not in ids(found.candidates)
        assert set(restarted.products) < set(ids(found.candidates))
        assert await rig.vectors(*restarted.products) == set(restarted.products)
        with pytest.raises(Unavailable):
            await rig.vectors(lost)
        restarted.fill()
        found = await rig.search()
        assert (ids(found.candidates), found.missing) == (ranked(), [])
        restarted.caught_up = True
        assert await rig.vectors(lost) == {lost}
        with pytest.raises(NotFound):
            await rig.vectors("nobody")


async def test_answers_come_from_one_set_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """From one set to the other and back, every answer is whole and counts the shards of one of them."""
    monkeypatch.setattr(shard_sets, "PERIOD_S", 0.05)
    async with AsyncExitStack() as stack:
        old = await stack.enter_async_context(copied(2, 1))
        new = await stack.enter_async_context(copied(3, 1))
        client = Shards(old.targets, timeout_s=60, next_targets=new.targets, head=lambda: PRODUCTS)
        stack.push_async_callback(client.close)
        await stack.enter_async_context(client.watched(lambda: pytest.fail("the watch failed")))
        totals = []
        async with asyncio.timeout(60):
            while 3 not in totals:
                found = await client.search(search())
                assert (ids(found.candidates), found.missing) == (ranked(), [])
                totals.append(found.total)
        assert totals == sorted(totals)
        for copy in new.all:
            copy.caught_up = False
        async with asyncio.timeout(60):
            while totals[-1] == 3:
                found = await client.search(search())
                assert (ids(found.candidates), found.missing) == (ranked(), [])
                totals.append(found.total)


async def test_a_batch_finds_for_each_search_what_that_finds_alone() -> None:
    """Over all shards, each search with its own limit and bound."""
    async with rigged(3, 1) as rig:
        alone = [
            await rig.shards.search(search(limit=4)),
            await rig.shards.search(search(min_score=0.3)),
            await rig.shards.search(search(min_score=2)),
        ]
        batch = vectorsearch_pb2.BatchSearchVectorsRequest(
            requests=[search(limit=4), search(min_score=0.3), search(min_score=2)]
        )
        found = await rig.shards.batch_search(batch)
        assert [ids(each) for each in found] == [ids(each.candidates) for each in alone]
        assert [len(each.product_ids) for each in found][::2] == [4, 0]


async def test_a_batch_does_without_shards_that_are_away() -> None:
    """As long as one answers."""
    async with rigged(2, 1) as rig:
        batch = vectorsearch_pb2.BatchSearchVectorsRequest(requests=[search()])
        rig.copies[0][0].fault.error = Unavailable("away")
        [found] = await rig.shards.batch_search(batch)
        assert set(ids(found)) == rig.copies[1][0].products.keys()
        rig.copies[1][0].fault.error = Unavailable("away")
        with pytest.raises(Unavailable):
            await rig.shards.batch_search(batch)


async def test_shards_hold_a_revision_when_all_replicas_that_answer_do() -> None:
    """One that lags is in the way, one that is away is not, and a shard without any is."""
    async with rigged(2, 2) as rig:
        assert await rig.shards.hold(PRODUCTS)
        assert not await rig.shards.hold(PRODUCTS + 1)
        lagging = rig.copies[0][1]
        lagging.revision = 3
        assert not await rig.shards.hold(PRODUCTS)
        lagging.status_fault.error = Unavailable("away")
        assert await rig.shards.hold(PRODUCTS)
        rig.copies[0][0].status_fault.error = Unavailable("away")
        assert not await rig.shards.hold(PRODUCTS)

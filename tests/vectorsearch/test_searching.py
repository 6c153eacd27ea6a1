from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from services.mesh import deadline
from services.mesh.batching.admission import AdmissionLimits
from services.mesh.batching.call import Priority
from services.mesh.errors import FailedPrecondition, ResourceExhausted, VitrineError
from services.vectorsearch import wire
from services.vectorsearch.answering import Answerer
from services.vectorsearch.lanes import Lanes
from services.vectorsearch.requests import Kind, Search
from services.vectorsearch.searching import MAX_BATCH, Searching
from services.vectorsearch.shard import Shard
from tests.vectorsearch.products import simple, unit, vector_message
from vitrine.v1 import vectorsearch_pb2

LIMITS = AdmissionLimits(100, 1 << 20)


class Gated(Answerer):
    """An answerer that waits for a gate, and tells how many searches it was given at a time."""

    def __init__(self, shard: Shard, lanes: Lanes) -> None:
        super().__init__(shard, lanes)
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.batches: list[int] = []

    def answer(
        self, kind: Kind, searches: Sequence[Search]
    ) -> list[vectorsearch_pb2.SearchVectorsResponse | VitrineError]:
        self.batches.append(len(searches))
        self.entered.set()
        assert self.gate.wait(60)
        return super().answer(kind, searches)


def search_for(seed: int, *, model: str = "model-clip", generation: str = "g1") -> Search:
    vector = vector_message("clip", unit(seed, "clip"))
    vector.model_digest = model
    return wire.search_of(
        vectorsearch_pb2.SearchVectorsRequest(
            catalog="shop",
            generation=generation,
            limit=3,
            queries=[vectorsearch_pb2.SpaceQuery(vector=vector, weight=1, neutral=0.4)],
        )
    )


@pytest.fixture
def gated() -> Gated:
    shard = Shard()
    shard.apply([simple(number, number + 1) for number in range(20)])
    return Gated(shard, Lanes(1))


async def entered(gated: Gated) -> None:
    assert await asyncio.to_thread(gated.entered.wait, 60)


async def test_what_waits_is_answered_together(gated: Gated) -> None:
    """Searches that come while one is being answered make one batch, each with its own answer."""
    searching = Searching(gated, LIMITS)
    first = asyncio.create_task(searching.search([search_for(0)]))
    await entered(gated)
    others = [asyncio.create_task(searching.search([search_for(number)])) for number in range(1, 10)]
    while searching.stage.waiting(Priority.BULK) < 9:  # noqa: ASYNC110 - a stage knows no events
        await asyncio.sleep(0.001)
    gated.gate.set()
    answers = [outcome for task in [first, *others] for outcome in await task]
    searching.close()
    assert gated.batches == [1, 9]
    for number, answer in enumerate(answers):
        assert not isinstance(answer, VitrineError)
        assert answer.candidates.product_ids[0] == f"p{number}"


async def test_one_that_cannot_be_answered_is_no_others_business(gated: Gated) -> None:
    """A vector of another model fails alone in its batch."""
    gated.gate.set()
    searching = Searching(gated, LIMITS)
    good, bad, late = await searching.search([search_for(1), search_for(2, model="other"), search_for(3)])
    searching.close()
    assert isinstance(bad, FailedPrecondition)
    assert not isinstance(good, VitrineError)
    assert not isinstance(late, VitrineError)
    assert late.candidates.product_ids[0] == "p3"


async def test_searches_of_several_kinds_are_answered_one_kind_at_a_time(gated: Gated) -> None:
    """Another generation is another batch, and there being none of it is told to its callers alone."""
    gated.gate.set()
    searching = Searching(gated, LIMITS)
    good, other = await searching.search([search_for(1), search_for(1, generation="g2")])
    searching.close()
    assert not isinstance(good, VitrineError)
    assert isinstance(other, FailedPrecondition)
    assert other.reason == "MODEL_MISMATCH"


async def test_more_than_there_is_room_for_is_refused_at_once(gated: Gated) -> None:
    """Beyond the limit a search is refused with the time after which to try again."""
    searching = Searching(gated, AdmissionLimits(2, 1 << 20))
    first = asyncio.create_task(searching.search([search_for(0)]))
    await entered(gated)
    second = asyncio.create_task(searching.search([search_for(1)]))
    while searching.stage.waiting(Priority.BULK) < 1:  # noqa: ASYNC110 - a stage knows no events
        await asyncio.sleep(0.001)
    with pytest.raises(ResourceExhausted) as refused:
        await searching.search([search_for(3)])
    assert refused.value.retry_after_s
    gated.gate.set()
    await asyncio.gather(first, second)
    searching.close()


async def test_who_left_is_not_answered(gated: Gated) -> None:
    """A search whose caller left while it waited is never begun."""
    searching = Searching(gated, LIMITS)
    first = asyncio.create_task(searching.search([search_for(0)]))
    await entered(gated)
    second = asyncio.create_task(searching.search([search_for(1)]))
    while searching.stage.waiting(Priority.BULK) < 1:  # noqa: ASYNC110 - a stage knows no events
        await asyncio.sleep(0.001)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    gated.gate.set()
    await first
    (third,) = await searching.search([search_for(2)])
    searching.close()
    assert not isinstance(third, VitrineError)
    assert gated.batches == [1, 1]


async def test_a_deadline_that_cannot_be_kept_is_refused(gated: Gated) -> None:
    """While others are inside, who would be answered too late is told so before anything is done."""
    searching = Searching(gated, LIMITS)
    inside = [asyncio.create_task(searching.search([search_for(0) for _ in range(MAX_BATCH)]))]
    await entered(gated)
    with pytest.raises(VitrineError), deadline.within(1e-4):
        await searching.search([search_for(1)])
    gated.gate.set()
    (outcomes,) = await asyncio.gather(*inside)
    searching.close()
    assert len(outcomes) == MAX_BATCH

"""What every query store must do. A test module subclasses `QueryStoreSuite` and gives it `store`."""

from __future__ import annotations

import asyncio
import sys

import pytest

from services.gateway.store import query_log
from services.gateway.store.query_log import QueryPosition, QueryRange, QueryStore
from vitrine.v1 import queries_pb2

END_MS = 10**13


def logged(
    query_id: str, time_ms: int, *, hits: int = 1, texts: tuple[str, ...] = ()
) -> queries_pb2.LoggedQuery:
    query = queries_pb2.LoggedQuery(query_id=query_id, hit_count=hits, texts=texts)
    query.time.FromMilliseconds(time_ms)
    return query


def feedback(
    product: str, kind: queries_pb2.FeedbackKind.ValueType, time_ms: int, *, place: int = 0
) -> queries_pb2.Feedback:
    given = queries_pb2.Feedback(product=product, kind=kind, place=place)
    given.time.FromMilliseconds(time_ms)
    return given


def everything(catalog: str = "shop") -> QueryRange:
    return QueryRange(catalog, 0, END_MS)


async def ids(store: QueryStore, wanted: QueryRange, *, limit: int = 1_000) -> list[str]:
    """The ids of the queries of a range, page by page."""
    found: list[str] = []
    after: QueryPosition | None = None
    while page := await store.queries(wanted, after, limit):
        assert len(page) <= limit
        found += [query.query_id for query in page]
        after = page[-1].time.ToMilliseconds(), page[-1].query_id
    return found


class QueryStoreSuite:
    async def test_queries_are_kept_as_they_were(self, store: QueryStore) -> None:
        """A query comes back whole, and one of a known id changes nothing."""
        query = logged("a", 1_000, texts=("red dress", "\x00"))
        query.products.append("p1")
        query.degraded.append("ranker")
        query.latency_ms = 1.5
        await store.add("shop", [query])
        await store.add("shop", [logged("a", 2_000)])
        await store.add("shop", [])
        assert list(await store.queries(everything(), None, 10)) == [query]

    async def test_catalogues_are_apart(self, store: QueryStore) -> None:
        """A list holds the queries of its catalogue alone, even where their ids are the same."""
        await store.add("shop", [logged("a", 1)])
        await store.add("other", [logged("a", 2), logged("b", 3)])
        assert await ids(store, everything("shop")) == ["a"]
        assert await ids(store, everything("other")) == ["b", "a"]
        assert await store.add_feedback("shop", "a", feedback("p", queries_pb2.FEEDBACK_KIND_CLICK, 5))
        [_, other] = await store.queries(everything("other"), None, 10)
        assert not other.feedback

    @pytest.mark.parametrize("limit", [1, 2, 3, 100])
    async def test_the_newest_come_first(self, store: QueryStore, limit: int) -> None:
        """Pages of any size hold every query once, the newest first, those of one moment by id."""
        times = [5, 3, 3, 9, 3, 1, 9]
        await store.add("shop", [logged(f"q{index}", time) for index, time in enumerate(times)])
        expected = ["q3", "q6", "q0", "q1", "q2", "q4", "q5"]
        assert await ids(store, everything(), limit=limit) == expected

    async def test_ranges_are_half_open(self, store: QueryStore) -> None:
        """A range holds its start and not its end, and only what found nothing where asked for."""
        await store.add("shop", [logged(f"q{time}", time, hits=time % 2) for time in range(8)])
        assert await ids(store, QueryRange("shop", 2, 5)) == ["q4", "q3", "q2"]
        assert await ids(store, QueryRange("shop", 5, 5)) == []
        nothing = QueryRange("shop", 2, 7, zero_results_only=True)
        assert await ids(store, nothing, limit=1) == ["q6", "q4", "q2"]

    async def test_many_at_once(self, store: QueryStore) -> None:
        """A thousand queries are one page."""
        await store.add("shop", [logged(f"q{index:04}", 1_000 + index) for index in range(1_000)])
        await store.add_feedback("shop", "q0999", feedback("p", queries_pb2.FEEDBACK_KIND_CLICK, 5))
        page = await store.queries(everything(), None, 1_000)
        assert [query.query_id for query in page] == [f"q{index:04}" for index in reversed(range(1_000))]
        assert [len(query.feedback) for query in page] == [1] + 999 * [0]

    async def test_feedback_comes_with_its_query(self, store: QueryStore) -> None:
        """Feedback is kept once for each product and kind, the first one, and listed oldest first."""
        await store.add("shop", [logged("a", 1_000), logged("b", 2_000)])
        bought = feedback("p2", queries_pb2.FEEDBACK_KIND_PURCHASE, 50, place=2)
        clicked = feedback("p2", queries_pb2.FEEDBACK_KIND_CLICK, 40, place=2)
        liked = feedback("p1", queries_pb2.FEEDBACK_KIND_LIKE, 45)
        for given in (bought, clicked, liked):
            assert await store.add_feedback("shop", "a", given)
        assert await store.add_feedback(
            "shop", "a", feedback("p2", queries_pb2.FEEDBACK_KIND_CLICK, 60, place=7)
        )
        [without, query] = await store.queries(everything(), None, 10)
        assert not without.feedback
        assert list(query.feedback) == [clicked, liked, bought]

    async def test_feedback_needs_a_query(self, store: QueryStore) -> None:
        """Feedback for a query that is not kept is refused, also when it is kept for another catalogue."""
        await store.add("other", [logged("a", 1_000)])
        given = feedback("p", queries_pb2.FEEDBACK_KIND_CLICK, 5)
        assert not await store.add_feedback("shop", "a", given)
        assert not await store.add_feedback("other", "b", given)

    async def test_feedback_is_bounded(self, store: QueryStore, monkeypatch: pytest.MonkeyPatch) -> None:
        """Beyond its limit a query takes no more feedback, and nobody is told."""
        module = sys.modules[type(store).__module__]
        assert module.MAX_FEEDBACK == query_log.MAX_FEEDBACK
        monkeypatch.setattr(module, "MAX_FEEDBACK", 20)
        await store.add("shop", [logged("a", 1_000)])
        kinds = (queries_pb2.FEEDBACK_KIND_CLICK, queries_pb2.FEEDBACK_KIND_LIKE)
        for index in range(15):
            for kind in kinds:
                assert await store.add_feedback("shop", "a", feedback(f"p{index}", kind, index))
        [query] = await store.queries(everything(), None, 10)
        assert len(query.feedback) == 20

    async def test_feedback_at_the_same_time(self, store: QueryStore) -> None:
        """Equal feedback that comes many times at once is kept once."""
        await store.add("shop", [logged("a", 1_000)])
        given = [feedback(f"p{index % 3}", queries_pb2.FEEDBACK_KIND_CLICK, 7) for index in range(12)]
        assert all(await asyncio.gather(*(store.add_feedback("shop", "a", each) for each in given)))
        [query] = await store.queries(everything(), None, 10)
        assert sorted(each.product for each in query.feedback) == ["p0", "p1", "p2"]

    async def test_the_oldest_are_forgotten(self, store: QueryStore) -> None:
        """What is older than a time goes with its feedback, of all catalogues, the oldest first, in bites."""
        await store.add("shop", [logged(f"q{time}", time) for time in range(6)])
        await store.add("other", [logged("o1", 1), logged("o9", 9)])
        given = feedback("p", queries_pb2.FEEDBACK_KIND_CLICK, 5)
        await store.add_feedback("shop", "q0", given)
        assert await store.forget(4, 3) == 3
        assert await ids(store, everything()) == ["q5", "q4", "q3", "q2"]
        assert await store.forget(4, 3) == 2
        assert await store.forget(4, 3) == 0
        assert await ids(store, everything()) == ["q5", "q4"]
        assert await ids(store, everything("other")) == ["o9"]
        assert not await store.add_feedback("shop", "q0", given)
        await store.add("shop", [logged("q0", 7)])
        [query] = await store.queries(QueryRange("shop", 7, 8), None, 10)
        assert not query.feedback

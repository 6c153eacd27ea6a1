from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.gateway import query_stats
from services.gateway.query_stats import QuerySums
from vitrine.v1 import queries_pb2 as pb
from vitrine.v1 import search_pb2


def engaged(*given: tuple[pb.FeedbackKind.ValueType, int]) -> pb.LoggedQuery:
    return pb.LoggedQuery(
        hit_count=1, feedback=[pb.Feedback(kind=kind, place=place) for kind, place in given]
    )


def summed(*queries: pb.LoggedQuery) -> pb.QueryStatsResponse:
    sums = QuerySums()
    sums.add(queries)
    return sums.response()


def test_nothing_adds_up_to_nothing() -> None:
    """Without a query every figure is 0."""
    assert summed() == pb.QueryStatsResponse()


def test_queries_are_counted_by_what_became_of_them() -> None:
    """Queries without hits, from the cache, and with less than they could be are counted."""
    found = summed(
        pb.LoggedQuery(hit_count=3, cache=search_pb2.CACHE_OUTCOME_HIT),
        pb.LoggedQuery(hit_count=3, cache=search_pb2.CACHE_OUTCOME_SHARED, degraded=["ranker", "metadata"]),
        pb.LoggedQuery(hit_count=0, cache=search_pb2.CACHE_OUTCOME_MISS),
        pb.LoggedQuery(hit_count=1, cache=search_pb2.CACHE_OUTCOME_BYPASS),
    )
    assert (found.query_count, found.zero_result_count, found.cached_count, found.degraded_count) == (
        4,
        1,
        2,
        1,
    )


def test_ranks_are_those_of_the_best_hit() -> None:
    """The mean is over queries with a hit that somebody took to, whose place is known."""
    found = summed(
        engaged((pb.FEEDBACK_KIND_CLICK, 4), (pb.FEEDBACK_KIND_PURCHASE, 2), (pb.FEEDBACK_KIND_DISLIKE, 1)),
        engaged((pb.FEEDBACK_KIND_LIKE, 1), (pb.FEEDBACK_KIND_CLICK, 0)),
        engaged((pb.FEEDBACK_KIND_ADD_TO_CART, 0)),
        engaged((pb.FEEDBACK_KIND_DISLIKE, 1)),
        engaged(),
    )
    assert found.engaged_count == 3
    assert found.mean_reciprocal_rank == (1 / 2 + 1) / 2


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300))
def test_percentiles_are_what_they_say(latencies_ms: list[float]) -> None:
    """So many of the queries took at most so long, and fewer took less."""
    found = summed(*(pb.LoggedQuery(latency_ms=each) for each in latencies_ms))
    for share, value in (
        (0.5, found.latency_p50_ms),
        (0.95, found.latency_p95_ms),
        (0.99, found.latency_p99_ms),
    ):
        assert value in latencies_ms
        assert sum(each <= value for each in latencies_ms) >= share * len(latencies_ms) - 1e-9
        assert sum(each < value for each in latencies_ms) < share * len(latencies_ms) + 1e-9


def test_texts_are_counted_once_a_query() -> None:
    """Words count whatever their case and spaces, those that found nothing apart, the most frequent first."""
    found = summed(
        pb.LoggedQuery(texts=["Red  Dress", "red dress ", "sale"], hit_count=2),
        pb.LoggedQuery(texts=["red dress"], hit_count=0),
        pb.LoggedQuery(texts=["boots"], hit_count=0),
    )
    assert [(each.text, each.count) for each in found.top_texts] == [
        ("red dress", 2),
        ("boots", 1),
        ("sale", 1),
    ]
    assert [(each.text, each.count) for each in found.top_zero_result_texts] == [
        ("boots", 1),
        ("red dress", 1),
    ]


def test_texts_are_bounded() -> None:
    """However many different words there are, so many are counted, so much of each, and few are told."""
    sums = QuerySums()
    limit = query_stats.MAX_TEXTS
    sums.add(pb.LoggedQuery(texts=[f"text {index}"], hit_count=1) for index in range(limit + 10))
    sums.add([pb.LoggedQuery(texts=[f"text {limit + 9}", "text 3", "x" * 5_000], hit_count=1)])
    top = sums.response().top_texts
    assert len(top) == query_stats.TOP_TEXTS
    assert (top[0].text, top[0].count) == ("text 3", 2)
    long = summed(pb.LoggedQuery(texts=["x" * 5_000])).top_texts
    assert long[0].text == "x" * query_stats.MAX_TEXT_CHARACTERS

"""Queries that were answered, and what people made of their hits, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from vitrine.client.moments import moment_of
from vitrine.client.results import cache_outcome
from vitrine.v1 import queries_pb2

FeedbackKind = Literal["click", "like", "dislike", "add_to_cart", "purchase"]

FEEDBACK_KINDS: Mapping[FeedbackKind, queries_pb2.FeedbackKind.ValueType] = {
    "click": queries_pb2.FEEDBACK_KIND_CLICK,
    "like": queries_pb2.FEEDBACK_KIND_LIKE,
    "dislike": queries_pb2.FEEDBACK_KIND_DISLIKE,
    "add_to_cart": queries_pb2.FEEDBACK_KIND_ADD_TO_CART,
    "purchase": queries_pb2.FEEDBACK_KIND_PURCHASE,
}
_KIND_NAMES = {number: name for name, number in FEEDBACK_KINDS.items()}


@dataclass(frozen=True)
class Feedback:
    """What somebody made of a product; `place` is that of the hit, from 1, and 0 when it is not known."""

    product: str
    kind: str
    place: int
    time: datetime | None


@dataclass(frozen=True)
class LoggedQuery:
    """A search that was answered: what it consisted of, how good the answer was, how long it took."""

    query_id: str
    time: datetime | None
    texts: Sequence[str]
    products: Sequence[str]
    images: int
    vectors: int
    profile: str
    filtered: bool
    page: int
    hits: int
    best_similarity: float
    latency_ms: float
    cache: str
    degraded: Sequence[str]
    feedback: Sequence[Feedback]


@dataclass(frozen=True)
class QueryStats:
    """Queries of a time summed up; texts come with how often they were searched."""

    queries: int
    zero_results: int
    cached: int
    degraded: int
    engaged: int
    latency_p50_ms: float
    latency_p95_ms: float
    latency_p99_ms: float
    mean_reciprocal_rank: float
    top_texts: Sequence[tuple[str, int]]
    top_zero_result_texts: Sequence[tuple[str, int]]


def query_of(message: queries_pb2.LoggedQuery) -> LoggedQuery:
    """The query in a message."""
    return LoggedQuery(
        query_id=message.query_id,
        time=moment_of(message, "time"),
        texts=tuple(message.texts),
        products=tuple(message.products),
        images=message.image_count,
        vectors=message.vector_count,
        profile=message.profile,
        filtered=message.filtered,
        page=message.page,
        hits=message.hit_count,
        best_similarity=message.best_similarity,
        latency_ms=message.latency_ms,
        cache=cache_outcome(message.cache),
        degraded=tuple(message.degraded),
        feedback=tuple(
            Feedback(each.product, _KIND_NAMES.get(each.kind, ""), each.place, moment_of(each, "time"))
            for each in message.feedback
        ),
    )


def stats_of(message: queries_pb2.QueryStatsResponse) -> QueryStats:
    """The sums in a message."""
    return QueryStats(
        queries=message.query_count,
        zero_results=message.zero_result_count,
        cached=message.cached_count,
        degraded=message.degraded_count,
        engaged=message.engaged_count,
        latency_p50_ms=message.latency_p50_ms,
        latency_p95_ms=message.latency_p95_ms,
        latency_p99_ms=message.latency_p99_ms,
        mean_reciprocal_rank=message.mean_reciprocal_rank,
        top_texts=tuple((each.text, each.count) for each in message.top_texts),
        top_zero_result_texts=tuple((each.text, each.count) for each in message.top_zero_result_texts),
    )

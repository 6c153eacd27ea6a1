"""The query log: what was searched for, and what people made of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from services.gateway.http.bodies.base import Int32, Int64, Model, Timestamp
from services.gateway.http.bodies.search import CacheOutcome

FeedbackKind = Literal[
    "FEEDBACK_KIND_CLICK",
    "FEEDBACK_KIND_LIKE",
    "FEEDBACK_KIND_DISLIKE",
    "FEEDBACK_KIND_ADD_TO_CART",
    "FEEDBACK_KIND_PURCHASE",
]


class Feedback(Model):
    """One feedback."""

    product: str = Field(description="The product's id.")
    kind: FeedbackKind = Field(description="What was made of it.")
    place: int = Field(description="Its place among all hits of the query, from 1; 0 when unknown.")
    time: Timestamp


class RecordFeedbackRequest(Model):
    """What somebody made of a hit. The query is in the path."""

    product: str = Field(description="The product: its name, or its id alone.", examples=["4711"])
    kind: FeedbackKind = Field(description="What was made of it.")
    place: Int32 | None = Field(None, description="Its place among all hits of the query, from 1.")


class LoggedQuery(Model):
    """A search that was answered."""

    query_id: str
    time: Timestamp = Field(description="When it was answered.")
    texts: list[str] = Field(description="The words of its parts.")
    products: list[str] = Field(description="The ids of the products among its parts.")
    image_count: int = Field(description="How many of its parts were photos.")
    vector_count: int = Field(description="How many of its parts were vectors.")
    profile: str = Field(description="The profile used.")
    filtered: bool = Field(description="Whether there was a filter.")
    page: int = Field(description="0 without a page token, else 1.")
    hit_count: int = Field(description="Products on the page.")
    best_similarity: float = Field(description="The similarity of the best one; 0 without any.")
    latency_ms: float = Field(description="From request to answer.")
    cache: CacheOutcome = Field(description="Where the answer came from.")
    degraded: list[str] = Field(description="Why the answer was less than it could be.")
    feedback: list[Feedback] = Field(description="Oldest first.")


class ListQueriesResponse(Model):
    """Queries, the newest first."""

    queries: list[LoggedQuery]
    next_page_token: str = Field(description="Empty on the last page.")


class TextCount(Model):
    """How often some words were searched."""

    text: str
    count: Int64


class QueryStatsResponse(Model):
    """A sum over queries."""

    query_count: Int64 = Field(description="Queries answered.")
    zero_result_count: Int64 = Field(description="Of them, without a hit.")
    cached_count: Int64 = Field(description="Of them, answered from the cache or together with an equal one.")
    degraded_count: Int64 = Field(description="Of them, less than they could be.")
    engaged_count: Int64 = Field(description="Of them, with a click, like, basket or purchase.")
    latency_p50_ms: float
    latency_p95_ms: float
    latency_p99_ms: float
    mean_reciprocal_rank: float = Field(
        description="The mean of 1 / place of the best hit that was clicked, liked or bought."
    )
    top_texts: list[TextCount] = Field(description="Words that were searched most, at most 20.")
    top_zero_result_texts: list[TextCount] = Field(
        description="Words that most often found nothing, at most 20."
    )

"""Searches and what they find."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from services.gateway.http.bodies.base import Double, Int32, Int64, Mask, Model, OneOf, Seconds, Several
from services.gateway.http.bodies.common import (
    Facet,
    Filter,
    Image,
    ItemStatus,
    Label,
    ScoreTerm,
    StageTiming,
    Vector,
)
from services.gateway.http.bodies.products import Product


class QueryPart(OneOf):
    """One part of a query; exactly one of `image`, `product`, `text` and `vector` is set."""

    image: Image | None = Field(None, description="A photo.")
    product: str | None = Field(None, description="A product of the catalogue: its name, or its id alone.")
    text: str | None = Field(None, description="Words, at most 1,000 characters.", examples=["red shoes"])
    vector: Vector | None = Field(None, description="A vector.")
    weight: Double | None = Field(None, description="Its share, 1 when absent. Negative: less like this.")

    @classmethod
    def _beside(cls) -> frozenset[str]:
        return frozenset({"weight"})


class GroupBy(Model):
    """A cap on hits that share a value of an attribute."""

    attribute: str = Field(
        description="The attribute, or `inferred.<label>` for what a model saw.", examples=["colour"]
    )
    size: Int32 = Field(description="Hits of each value over all pages, 1 to 10.", examples=[2])


class SearchOptions(Model):
    """How to search, whatever the query is."""

    profile: str | None = Field(
        None, description="Ranking profile, or the name of one space.", examples=["similar"]
    )
    filter: Filter | None = Field(None, description="Which products may answer.")
    k: Int32 | None = Field(None, description="Hits a page, 1 to 100; 10 when absent.", examples=[10])
    page_token: str | None = Field(None, description="From the page before; the rest must be the same.")
    explain: bool | None = Field(
        None, description="Return score terms, drops and what was understood of the query."
    )
    facets: Several[str] | None = Field(
        None, max_length=16, description="Attributes to count, at most 16.", examples=[["colour"]]
    )
    disjunctive_facets: bool | None = Field(
        None,
        description="Count each facet as if the filter did not test its attribute, so that its other values "
        "can be chosen beside those that are.",
    )
    min_revision: Int64 | None = Field(None, description="See every write up to this revision.")
    max_staleness: Seconds | None = Field(
        None, description="How old a cached answer may be; `2s` when absent."
    )
    refuse_partial: bool | None = Field(None, description="Refuse an answer that lacks a shard.")
    group_by: GroupBy | None = Field(None, description="At most so many hits of each value of an attribute.")
    diversity: Double | None = Field(
        None,
        description="How much variety counts against score among the first 200 hits, 0 to 1.",
        examples=[0.3],
    )
    min_similarity: Double | None = Field(
        None, description="Leave out hits with a lower similarity, 0 to 100.", examples=[40]
    )
    read_mask: Mask | None = Field(
        None, description="Fields of the hits' products to return, separated by commas; all when absent."
    )


class SearchRequest(SearchOptions):
    """A search. The catalogue is in the path."""

    parts: Several[QueryPart] = Field(min_length=1, max_length=8, description="1 to 8, mixed by weight.")


class BatchSearchRequest(Model):
    """Several searches of one catalogue, which is in the path."""

    requests: Several[SearchRequest] = Field(min_length=1, max_length=32, description="1 to 32.")


class Hit(Model):
    """One product found."""

    product: Product
    photo_id: str = Field(description="The photo that matched best.")
    score: float = Field(description="Sum of the terms' contributions.")
    similarity: float = Field(description="0 to 100, comparable between queries of one kind.")
    band: Literal["BAND_LOW", "BAND_MEDIUM", "BAND_HIGH"] = Field(
        description="The same in words: from 40, from 70."
    )
    terms: list[ScoreTerm] = Field(description="The score's summands; only when asked.")
    group_value: str | None = Field(None, description="Its value of the attribute of `group_by`.")


class DroppedHit(Model):
    """A product that was left out although it looks alike."""

    product: str
    reason: str


CacheOutcome = Literal[
    "CACHE_OUTCOME_BYPASS", "CACHE_OUTCOME_MISS", "CACHE_OUTCOME_HIT", "CACHE_OUTCOME_SHARED"
]


class SearchResponse(Model):
    """What was found."""

    hits: list[Hit] = Field(description="In order.")
    next_page_token: str = Field(description="For the next page; empty on the last.")
    query_id: str = Field(description="Names this query in logs and feedback.")
    revision: Int64 = Field(description="The oldest log revision any shard answered from.")
    generation: str = Field(description="The generation used.")
    shards_ok: int = Field(description="Shards that answered.")
    shards_total: int = Field(description="Shards there are.")
    degraded: list[str] = Field(
        description="Why the answer is less than it could be; empty when it is whole."
    )
    stages: list[StageTiming] = Field(description="How long each stage took.")
    cache: CacheOutcome = Field(description="Where the answer came from.")
    facets: list[Facet]
    query_labels: list[Label] = Field(description="What was understood of the query; only when asked.")
    dropped: list[DroppedHit] = Field(description="Products that were dropped; only when asked.")
    plans: list[str] = Field(description="How the shards searched.")
    profile: str = Field(description="The profile used.")
    group_by: GroupBy | None = Field(None, description="The cap that held.")
    diversity: float = Field(description="The diversity of the order; 0 where that could not be done.")


class BatchSearchResult(Model):
    """The outcome of one search of a batch."""

    response: SearchResponse | None = Field(None, description="The answer; absent when it failed.")
    status: ItemStatus | None = Field(None, description="Absent on success.")


class BatchSearchResponse(Model):
    """One outcome a request, in order."""

    results: list[BatchSearchResult]

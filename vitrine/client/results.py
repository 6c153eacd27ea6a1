"""What a search answers, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vitrine.client.filters import Value, value_of
from vitrine.client.products import Label, Product, labels_of, product_of
from vitrine.client.queries import GroupBy
from vitrine.v1 import search_pb2

_BANDS = {search_pb2.BAND_LOW: "low", search_pb2.BAND_MEDIUM: "medium", search_pb2.BAND_HIGH: "high"}
_CACHE = {
    search_pb2.CACHE_OUTCOME_BYPASS: "bypass",
    search_pb2.CACHE_OUTCOME_MISS: "miss",
    search_pb2.CACHE_OUTCOME_HIT: "hit",
    search_pb2.CACHE_OUTCOME_SHARED: "shared",
}


@dataclass(frozen=True)
class Term:
    """One summand of a score; `value` is the neutral one where `absent`."""

    name: str
    value: float
    weight: float
    contribution: float
    absent: bool


@dataclass(frozen=True)
class Hit:
    """One product found, with its similarity (0 to 100), its band (high, medium, low) and its terms.

    `group` is its value of the attribute of `group_by`, None when it has none.
    """

    product: Product
    photo_id: str
    score: float
    similarity: float
    band: str
    terms: Sequence[Term]
    group: str | None = None


@dataclass(frozen=True)
class FacetRange:
    """How many products have a number from `min` to below `max`; both are 0 where 0 alone is counted."""

    min: float
    max: float
    count: int


@dataclass(frozen=True)
class Facet:
    """How often each value of an attribute occurs among the products that pass the filter.

    `counts` has the most frequent values first, at most 100; `ranges` has all numbers, smallest first.
    """

    attribute: str
    counts: Sequence[tuple[Value, int]]
    ranges: Sequence[FacetRange]


@dataclass(frozen=True)
class Dropped:
    """A product that looks alike but was left out, and why."""

    product: str
    reason: str


@dataclass(frozen=True)
class SearchResults:
    """One page of hits and how it came about.

    `took_ms` is measured by this client, `stages` (ms) by the services. `diversity` is that of the order: 0
    where what was asked could not be done.
    """

    hits: Sequence[Hit]
    next_page_token: str
    query_id: str
    revision: int
    generation: str
    profile: str
    shards_ok: int
    shards_total: int
    degraded: Sequence[str]
    cache: str
    stages: Mapping[str, float]
    plans: Sequence[str]
    facets: Sequence[Facet]
    query_labels: Sequence[Label]
    dropped: Sequence[Dropped]
    took_ms: float
    group_by: GroupBy | None = None
    diversity: float = 0.0


def results_of(response: search_pb2.SearchResponse, took_ms: float) -> SearchResults:
    """The results in a response that took `took_ms`."""
    return SearchResults(
        hits=tuple(_hit(hit) for hit in response.hits),
        next_page_token=response.next_page_token,
        query_id=response.query_id,
        revision=response.revision,
        generation=response.generation,
        profile=response.profile,
        shards_ok=response.shards_ok,
        shards_total=response.shards_total,
        degraded=tuple(response.degraded),
        cache=cache_outcome(response.cache),
        stages={timing.stage: timing.duration_ms for timing in response.stages},
        plans=tuple(response.plans),
        facets=tuple(
            Facet(
                facet.attribute,
                tuple((value_of(entry.value), entry.count) for entry in facet.values),
                tuple(FacetRange(each.min, each.max, each.count) for each in facet.ranges),
            )
            for facet in response.facets
        ),
        query_labels=labels_of(response.query_labels),
        dropped=tuple(Dropped(drop.product.rpartition("/")[2], drop.reason) for drop in response.dropped),
        took_ms=round(took_ms, 3),
        group_by=GroupBy(response.group_by.attribute, response.group_by.size)
        if response.HasField("group_by")
        else None,
        diversity=response.diversity,
    )


def cache_outcome(outcome: search_pb2.CacheOutcome.ValueType) -> str:
    """Where an answer came from: bypass, miss, hit or shared."""
    return _CACHE.get(outcome, "")


def _hit(hit: search_pb2.Hit) -> Hit:
    return Hit(
        product=product_of(hit.product),
        photo_id=hit.photo_id,
        score=hit.score,
        similarity=hit.similarity,
        band=_BANDS.get(hit.band, ""),
        terms=tuple(
            Term(term.name, term.value, term.weight, term.contribution, term.absent) for term in hit.terms
        ),
        group=hit.group_value if hit.HasField("group_value") else None,
    )

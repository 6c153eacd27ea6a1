"""The path of a search: query vectors, candidates of every shard, ranking, metadata."""

from __future__ import annotations

import asyncio
import functools
import secrets
import time
from collections import Counter
from collections.abc import Mapping, Sequence

import structlog

from services.gateway import attributes, candidates, masks, metrics, ranking, similarity
from services.gateway.cache.interface import Cache
from services.gateway.directory import CatalogDirectory
from services.gateway.flight import SingleFlight
from services.gateway.paging import SearchPosition
from services.gateway.product_memory import ProductMemory
from services.gateway.query import Query, QueryReader
from services.gateway.query_log import QueryLog
from services.gateway.query_record import record_of
from services.gateway.query_vectors import CANDIDATE_LABELS, QueryVectors, QueryVectorSource
from services.gateway.ranking import Ranker
from services.gateway.shards import Found, Shards
from services.gateway.store.interface import CatalogRecord, Store
from services.mesh import deadline, names, status
from services.mesh.errors import FailedPrecondition, InvalidArgument, Unavailable, VitrineError
from services.mesh.stages import StageClock
from vitrine.v1 import catalog_pb2, search_pb2, vectorsearch_pb2

_log = structlog.get_logger()

# Paging stays within this many candidates.
WINDOW = 1_000
ANSWER_TTL_S = 60.0
# So many times the products of a value that are wanted come from the shards, for the ranker to choose from.
GROUP_DEPTH = 10
# So many candidates come with a vector when variety is wanted.
DIVERSE = 200
MAX_BATCH = 32
# To look a series up by its labels takes as long as to count in ten.
_HITS = {
    band: metrics.HITS.labels(name)
    for band, name in (
        (search_pb2.BAND_LOW, "low"),
        (search_pb2.BAND_MEDIUM, "medium"),
        (search_pb2.BAND_HIGH, "high"),
    )
}
_searches = functools.cache(metrics.SEARCHES.labels)
# So many searches of a batch are worked on at once, so that others are not kept waiting by one caller.
MAX_AT_ONCE = 8


class SearchFlow:
    """Answers searches."""

    def __init__(
        self,
        *,
        directory: CatalogDirectory,
        store: Store,
        products: ProductMemory,
        shards: Shards,
        vectors: QueryVectorSource,
        ranker: Ranker,
        cache: Cache,
        query_log: QueryLog,
        max_image_bytes: int,
        store_timeout_s: float,
    ) -> None:
        self._directory = directory
        self._store = store
        self._products = products
        self._shards = shards
        self._vectors = vectors
        self._ranker = ranker
        self._cache = cache
        self._query_log = query_log
        self._reader = QueryReader(max_image_bytes=max_image_bytes)
        self._store_timeout_s = store_timeout_s
        self._flights: SingleFlight[search_pb2.SearchResponse] = SingleFlight()

    async def search(self, request: search_pb2.SearchRequest) -> search_pb2.SearchResponse:
        """Answer one search; raises the domain errors that search.proto lists."""
        record = await self._directory.get(names.parse_catalog(request.catalog, "catalog"))
        return await self._answer(request, record)

    async def batch_search(self, request: search_pb2.BatchSearchRequest) -> search_pb2.BatchSearchResponse:
        """Answer several searches of one catalogue, each with its own outcome."""
        catalog = names.parse_catalog(request.catalog, "catalog")
        if not 1 <= len(request.requests) <= MAX_BATCH:
            raise InvalidArgument("requests", f"1 to {MAX_BATCH} requests")
        for index, each in enumerate(request.requests):
            if each.catalog not in ("", request.catalog):
                raise InvalidArgument(f"requests[{index}].catalog", "is not the batch's")
        record = await self._directory.get(catalog)
        at_once = asyncio.Semaphore(MAX_AT_ONCE)

        async def answer(each: search_pb2.SearchRequest) -> search_pb2.BatchSearchResult:
            single = search_pb2.SearchRequest()
            single.CopyFrom(each)
            single.catalog = request.catalog
            try:
                async with at_once:
                    return search_pb2.BatchSearchResult(response=await self._answer(single, record))
            except VitrineError as error:
                return search_pb2.BatchSearchResult(status=status.to_item(error))

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(answer(each)) for each in request.requests]
        return search_pb2.BatchSearchResponse(results=[task.result() for task in tasks])

    async def _answer(
        self, request: search_pb2.SearchRequest, record: CatalogRecord
    ) -> search_pb2.SearchResponse:
        try:
            return await self._answer_by(request, record)
        except FailedPrecondition as error:
            if error.reason != "MODEL_MISMATCH":
                raise
            # Another gateway may have gone over to another generation, and removed the one known here.
            self._directory.forget(record.catalog)
            present = await self._directory.get(record.catalog)
            if present.active == record.active:
                raise
        return await self._answer_by(request, present)

    async def _answer_by(
        self, request: search_pb2.SearchRequest, record: CatalogRecord
    ) -> search_pb2.SearchResponse:
        began_s = time.perf_counter()
        wanted = self._reader.read(request, record)
        response, outcome = await self._found(wanted)
        missing = response.shards_total - response.shards_ok
        if wanted.refuse_partial and missing:
            raise Unavailable(f"{missing} of {response.shards_total} shards did not answer", reason="PARTIAL")
        response.cache = outcome
        response.query_id = secrets.token_hex(8)
        await self._add_metadata(wanted, response)
        _count(wanted, response)
        latency_ms = (time.perf_counter() - began_s) * 1e3
        self._query_log.record(wanted.catalog, record_of(wanted, response, latency_ms=latency_ms))
        return response

    async def _found(
        self, wanted: Query
    ) -> tuple[search_pb2.SearchResponse, search_pb2.CacheOutcome.ValueType]:
        """The answer without metadata, the caller's own to change, and where it came from."""
        if not wanted.max_staleness_s:
            return await self._find(wanted), search_pb2.CACHE_OUTCOME_BYPASS
        cached = await self._cache.get(wanted.cache_key, max_age_s=wanted.max_staleness_s)
        if cached is not None:
            response = search_pb2.SearchResponse.FromString(cached)
            if response.revision >= wanted.min_revision:
                return response, search_pb2.CACHE_OUTCOME_HIT
        flight = wanted.cache_key + wanted.min_revision.to_bytes(8, "little")
        found, shared = await self._flights.do(flight, lambda: self._find_and_keep(wanted))
        response = search_pb2.SearchResponse()
        response.CopyFrom(found)
        return response, search_pb2.CACHE_OUTCOME_SHARED if shared else search_pb2.CACHE_OUTCOME_MISS

    async def _find_and_keep(self, wanted: Query) -> search_pb2.SearchResponse:
        began_s = time.perf_counter()
        response = await self._find(wanted)
        if not response.degraded:
            kept = search_pb2.SearchResponse()
            kept.CopyFrom(response)
            # How long it took is of no use to those who get it from the cache.
            kept.ClearField("stages")
            cost_s = time.perf_counter() - began_s
            value = kept.SerializeToString()
            await self._cache.put(wanted.cache_key, value, ttl_s=ANSWER_TTL_S, cost_s=cost_s)
        return response

    async def _find(self, wanted: Query) -> search_pb2.SearchResponse:
        clock = StageClock()
        vectors = await self._vectors.get(wanted, clock)
        with clock.stage("search"):
            found = await self._shards.search(_request(wanted, vectors))
        await self._refuse_unknown(wanted, found)
        with clock.stage("rank"):
            ranked = await self._ranker.rank(wanted, vectors, found.candidates)
        response = _response(wanted, found, ranked)
        response.stages.extend(clock.timings)
        return response

    async def _refuse_unknown(self, wanted: Query, found: Found) -> None:
        """Raise for an attribute that no product of the catalogue has, unless it has no product at all."""
        fields = {
            condition.attribute: f"{field}.attribute"
            for field, condition in attributes.conditions(wanted.filter)
        } | {facet: f"facets[{index}]" for index, facet in enumerate(wanted.facets)}
        if wanted.group_by is not None:
            fields.setdefault(wanted.group_by.attribute, "group_by.attribute")
        unknown = [attribute for attribute in fields if attribute in found.unknown_attributes]
        if not unknown:
            return
        try:
            counts = await self._store.counts(wanted.catalog)
        except Unavailable:
            return
        if counts.products:
            raise InvalidArgument(
                fields[unknown[0]], f"no product of the catalogue has an attribute {unknown[0]!r}"
            )

    async def _add_metadata(self, wanted: Query, response: search_pb2.SearchResponse) -> None:
        """Fill in the products; those deleted meanwhile go."""
        if not response.hits:
            return
        ids = [_product_id(hit) for hit in response.hits]
        products = self._products.remembered(wanted.catalog, ids, min_revision=wanted.min_revision)
        missing = [product_id for product_id in ids if product_id not in products]
        if missing:
            clock = StageClock()
            with clock.stage("metadata"):
                read, whole = await self._read_products(wanted.catalog, missing)
            products |= read
            response.stages.extend(clock.timings)
            if not whole:
                response.degraded.append("metadata")
                _fill(response.hits, products, wanted)
                return
        if len(products) < len(ids):
            living = [hit for hit in response.hits if _product_id(hit) in products]
            kept = search_pb2.SearchResponse(hits=living)
            del response.hits[:]
            response.hits.extend(kept.hits)
        _fill(response.hits, products, wanted)

    async def _read_products(
        self, catalog: str, ids: Sequence[str]
    ) -> tuple[Mapping[str, catalog_pb2.Product], bool]:
        """The products by id, and whether they are as the store has them now."""
        try:
            async with asyncio.timeout(deadline.remaining_s(self._store_timeout_s)):
                return await self._products.read(catalog, ids), True
        except (Unavailable, TimeoutError) as error:
            _log.warning("store failed", error=str(error))
            return self._products.last_known(catalog, ids), False


def _fill(hits: Sequence[search_pb2.Hit], products: Mapping[str, catalog_pb2.Product], wanted: Query) -> None:
    """Put products in place of bare names, where they are known."""
    for hit in hits:
        product = products.get(_product_id(hit))
        if product is not None:
            hit.product.CopyFrom(masks.read(product, wanted.read_mask))


def _request(wanted: Query, vectors: QueryVectors) -> vectorsearch_pb2.SearchVectorsRequest:
    """What every shard is asked."""
    request = vectorsearch_pb2.SearchVectorsRequest(
        catalog=wanted.catalog,
        generation=wanted.generation.id,
        queries=vectors.queries,
        filter=wanted.filter,
        limit=WINDOW,
        exclude_product_ids=wanted.product_ids,
        label_names=CANDIDATE_LABELS,
        facet_attributes=wanted.facets,
        disjunctive_facets=wanted.disjunctive_facets,
        min_revision=wanted.min_revision,
    )
    if wanted.group_by is not None:
        attribute = wanted.group_by.attribute
        if attribute not in CANDIDATE_LABELS:
            request.label_names.append(attribute)
        request.group_by.attribute = attribute
        request.group_by.size = GROUP_DEPTH * wanted.group_by.size
    if wanted.diversity:
        request.vector_space = wanted.vector_space
        request.vectors_limit = DIVERSE
    return request


def _response(wanted: Query, found: Found, ranked: ranking.Ranking) -> search_pb2.SearchResponse:
    """The answer with bare names in place of products."""
    best = ranked.response.best_possible_score
    response = search_pb2.SearchResponse(
        revision=found.revision,
        generation=wanted.generation.id,
        shards_ok=found.total - len(found.missing),
        shards_total=found.total,
        degraded=[f"shard:{index}" for index in found.missing],
        facets=found.facets,
        query_labels=ranked.response.query_labels if wanted.explain else (),
        dropped=[
            search_pb2.DroppedHit(
                product=names.product_name(wanted.catalog, each.product_id), reason=each.reason
            )
            for each in ranked.response.dropped
        ],
        plans=found.plans,
        profile=wanted.profile.name,
        group_by=wanted.group_by,
    )
    if not ranked.ranked:
        response.degraded.append("ranker")
    elif "diversity" not in ranked.response.degraded:
        response.diversity = wanted.diversity
    response.degraded.extend(ranked.response.degraded)
    groups = (
        candidates.group_values([found.candidates], wanted.group_by.attribute) if wanted.group_by else None
    )
    last = None
    for product_id, photo_id, each in ranking.hits(ranked.response, found.candidates):
        value = similarity.similarity(best - each.score, wanted.kind, wanted.profile.name)
        hit = response.hits.add(
            photo_id=photo_id,
            score=each.score,
            similarity=value,
            band=similarity.band(value),
            terms=each.terms if wanted.explain else (),
            group_value=groups[each.index] if groups else None,
        )
        hit.product.name = names.product_name(wanted.catalog, product_id)
        last = product_id, each.score
    if ranked.response.more and last is not None:
        product_id, score = last
        position = SearchPosition(
            wanted.digest,
            score,
            product_id,
            found.revision,
            ranked.ranked,
            wanted.offset + len(response.hits) if wanted.diversity and ranked.ranked else None,
            ranking.beliefs_of(ranked.response),
        )
        response.next_page_token = position.encode()
    return response


def _product_id(hit: search_pb2.Hit) -> str:
    return hit.product.name.rpartition("/")[2]


def _kind(wanted: Query) -> str:
    """What a query is made of, `mixed` where that is of several kinds."""
    sources = {part.WhichOneof("source") or "" for part in wanted.parts}
    return sources.pop() if len(sources) == 1 else "mixed"


def _count(wanted: Query, response: search_pb2.SearchResponse) -> None:
    kind = _kind(wanted)
    _searches(kind, wanted.profile.name).inc()
    outcome = search_pb2.CacheOutcome.Name(response.cache).removeprefix("CACHE_OUTCOME_").lower()
    metrics.CACHE.labels(outcome).inc()
    for reason in response.degraded:
        metrics.DEGRADED.labels(reason.partition(":")[0]).inc()
    if not response.hits:
        metrics.ZERO_RESULTS.labels(kind).inc()
    for band, hits in Counter(hit.band for hit in response.hits).items():
        _HITS[band].inc(hits)

"""What is kept of an answered search: never a photo, and of products only their ids."""

from __future__ import annotations

from services.gateway.query import Query
from vitrine.v1 import queries_pb2, search_pb2


def record_of(
    query: Query, response: search_pb2.SearchResponse, *, latency_ms: float
) -> queries_pb2.LoggedQuery:
    """A search and its answer as they are kept."""
    texts, products = [], []
    images = vectors = 0
    for part in query.parts:
        source = part.WhichOneof("source")
        if source == "text":
            texts.append(part.text)
        elif source == "product":
            products.append(part.product)
        elif source == "image":
            images += 1
        else:
            vectors += 1
    kept = queries_pb2.LoggedQuery(
        query_id=response.query_id,
        texts=texts,
        products=products,
        image_count=images,
        vector_count=vectors,
        profile=response.profile,
        filtered=bool(query.filter.all_of),
        page=int(query.position is not None),
        hit_count=len(response.hits),
        best_similarity=max((hit.similarity for hit in response.hits), default=0.0),
        latency_ms=round(latency_ms, 3),
        cache=response.cache,
        degraded=response.degraded,
    )
    kept.time.GetCurrentTime()
    return kept

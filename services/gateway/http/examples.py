"""The examples of the API's description: one small shop, the same in all of them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from services.gateway.http.bodies import catalogs, common, keys, products, queries, search, status
from services.gateway.http.bodies.base import Model

_DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_MODEL_DIGEST = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
_QUERY_ID = "4bf92f3577b34da6"
_TIME = "2026-03-01T12:00:00Z"

_ATTRIBUTES: dict[str, Any] = {
    "gender": {"values": [{"text": "Women"}]},
    "category": {"values": [{"text": "Footwear"}]},
    "colour": {"values": [{"text": "Red"}, {"text": "White"}]},
    "price": {"values": [{"number": 39.9}]},
}
_GIVEN: dict[str, Any] = {
    "title": "Red canvas shoes",
    "description": "Low shoes of canvas with a white rubber sole.",
    "photos": [{"id": "front", "image": {"uri": "https://cdn.shop.example/4711/front.jpg"}}],
    "attributes": _ATTRIBUTES,
}
_NEAR_DUPLICATE = {
    "product": "catalogs/demo/products/4712",
    "photo_id": "front",
    "other_photo_id": "front",
    "cosine": 0.993,
}
_PRODUCT: dict[str, Any] = {
    "name": "catalogs/demo/products/4711",
    "title": "Red canvas shoes",
    "description": "Low shoes of canvas with a white rubber sole.",
    "photos": [
        {
            "id": "front",
            "digest": _DIGEST,
            "media_path": f"/media/{_DIGEST}.webp",
            "width": 1200,
            "height": 1600,
            "uri": "https://cdn.shop.example/4711/front.jpg",
        }
    ],
    "attributes": _ATTRIBUTES,
    "labels": [{"name": "type", "value": "Casual shoes", "probability": 0.875}],
    "revision": "1042",
    "update_time": _TIME,
    "etag": "5d41402abc4b2a76",
    "near_duplicates": [_NEAR_DUPLICATE],
}
_SPACE: dict[str, Any] = {
    "space": "clip",
    "model_digest": _MODEL_DIGEST,
    "dimension": 512,
    "accepts_text": True,
    "model": "ViT-B-32",
}
_GENERATION: dict[str, Any] = {
    "id": "g1",
    "spaces": [_SPACE],
    "profiles": [{"name": "similar", "weights": {"visual.clip": 0.8, "semantic.category": 0.2}}],
}
_ACTIVE = {
    "generation": _GENERATION,
    "state": "GENERATION_STATE_ACTIVE",
    "product_count": "6619",
    "problem": "",
}
_BUILDING = {
    "generation": _GENERATION | {"id": "g2"},
    "state": "GENERATION_STATE_BUILDING",
    "product_count": "1280",
    "problem": "",
}
_CATALOG: dict[str, Any] = {
    "name": "catalogs/demo",
    "active_generation": _GENERATION,
    "product_count": "6619",
    "photo_count": "6619",
    "revision": "1042",
    "create_time": _TIME,
    "generations": [_ACTIVE],
}
_WOMEN_UNDER_50 = {
    "all_of": [
        {"any_of": [{"attribute": "gender", "equals": {"text": "Women"}}]},
        {"any_of": [{"attribute": "price", "range": {"max": 50}}]},
    ]
}
_SEARCH: dict[str, Any] = {
    "parts": [{"text": "red shoes"}, {"product": "4712", "weight": -0.5}],
    "filter": _WOMEN_UNDER_50,
    "k": 12,
    "facets": ["colour", "price"],
    "disjunctive_facets": True,
    "group_by": {"attribute": "brand", "size": 2},
    "read_mask": "title,photos,attributes.price",
}
_FOUND: dict[str, Any] = {
    "hits": [
        {
            "product": _PRODUCT,
            "photo_id": "front",
            "score": 0.731,
            "similarity": 81.5,
            "band": "BAND_HIGH",
            "terms": [
                {
                    "name": "visual.clip",
                    "value": 0.664,
                    "weight": 0.8,
                    "contribution": 0.531,
                    "absent": False,
                },
                {
                    "name": "semantic.category",
                    "value": 1.0,
                    "weight": 0.2,
                    "contribution": 0.2,
                    "absent": False,
                },
            ],
        }
    ],
    "next_page_token": "",
    "query_id": _QUERY_ID,
    "revision": "1042",
    "generation": "g1",
    "shards_ok": 2,
    "shards_total": 2,
    "degraded": [],
    "stages": [{"stage": "embed", "duration_ms": 9.4}, {"stage": "search", "duration_ms": 2.1}],
    "cache": "CACHE_OUTCOME_MISS",
    "facets": [
        {"attribute": "colour", "values": [{"value": {"text": "Red"}, "count": "41"}], "ranges": []},
        {
            "attribute": "price",
            "values": [{"value": {"number": 39.9}, "count": "6"}, {"value": {"number": 59.9}, "count": "3"}],
            "ranges": [{"min": 30.0, "max": 50.0, "count": "28"}, {"min": 50.0, "max": 70.0, "count": "13"}],
        },
    ],
    "query_labels": [{"name": "category", "value": "Footwear", "probability": 0.97}],
    "dropped": [],
    "plans": ["flat"],
    "profile": "similar",
    "group_by": {"attribute": "brand", "size": 2},
    "diversity": 0.0,
}
_UNKNOWN_PROFILE = {
    "code": 3,
    "message": "there is no profile or space simillar",
    "reason": "INVALID_ARGUMENT",
    "field": "profile",
}
_KEY: dict[str, Any] = {
    "name": "apiKeys/9f2c81d05b7e4a36",
    "display_name": "Storefront",
    "scope": "SCOPE_SEARCH",
    "catalogs": ["catalogs/demo"],
    "rate_limit_per_s": 50.0,
    "create_time": _TIME,
}
_QUERY: dict[str, Any] = {
    "query_id": _QUERY_ID,
    "time": _TIME,
    "texts": ["red shoes"],
    "products": [],
    "image_count": 0,
    "vector_count": 0,
    "profile": "similar",
    "filtered": True,
    "page": 0,
    "hit_count": 12,
    "best_similarity": 81.5,
    "latency_ms": 14.2,
    "cache": "CACHE_OUTCOME_MISS",
    "degraded": [],
    "feedback": [{"product": "4711", "kind": "FEEDBACK_KIND_CLICK", "place": 1, "time": _TIME}],
}

SEARCH_FORM: dict[str, Any] = {"text": "in red", "k": 12, "filter": _WOMEN_UNDER_50}

OF: dict[type[Model], dict[str, Any]] = {
    common.Empty: {},
    search.SearchRequest: _SEARCH,
    search.SearchResponse: _FOUND,
    search.BatchSearchRequest: {
        "requests": [_SEARCH, {"parts": [{"product": "4711"}], "profile": "simillar"}]
    },
    search.BatchSearchResponse: {"results": [{"response": _FOUND}, {"status": _UNKNOWN_PROFILE}]},
    catalogs.CreateCatalogRequest: {"catalog_id": "demo"},
    catalogs.CreateCatalogResponse: {"catalog": _CATALOG},
    catalogs.GetCatalogResponse: {"catalog": _CATALOG},
    catalogs.ListCatalogsResponse: {"catalogs": [_CATALOG], "next_page_token": ""},
    catalogs.CreateGenerationResponse: {"generation": _BUILDING},
    catalogs.ActivateGenerationResponse: {"catalog": _CATALOG},
    products.Product: _GIVEN,
    products.GetProductResponse: {"product": _PRODUCT},
    products.CreateProductResponse: {"product": _PRODUCT, "photo_problems": []},
    products.UpdateProductResponse: {"product": _PRODUCT, "photo_problems": []},
    products.DeleteProductResponse: {"revision": "1043"},
    products.ListProductsResponse: {"products": [_PRODUCT], "next_page_token": "NDcxMQ"},
    products.BatchUpsertProductsRequest: {
        "products": [{"product": {"name": "catalogs/demo/products/4711", **_GIVEN}}],
        "request_id": "6f1f0a3e-6a27-4f5c-9d0a-0c8f3c1f7b11",
    },
    products.BatchUpsertProductsResponse: {
        "results": [
            {
                "product": "catalogs/demo/products/4711",
                "photo_problems": [],
                "unchanged": False,
                "etag": "5d41402abc4b2a76",
                "near_duplicates": [_NEAR_DUPLICATE],
            }
        ],
        "revision": "1042",
        "stages": [{"stage": "embed", "duration_ms": 61.3}, {"stage": "commit", "duration_ms": 1.9}],
    },
    queries.RecordFeedbackRequest: {"product": "4711", "kind": "FEEDBACK_KIND_CLICK", "place": 1},
    queries.ListQueriesResponse: {"queries": [_QUERY], "next_page_token": ""},
    queries.QueryStatsResponse: {
        "query_count": "18230",
        "zero_result_count": "211",
        "cached_count": "6054",
        "degraded_count": "0",
        "engaged_count": "7310",
        "latency_p50_ms": 8.1,
        "latency_p95_ms": 21.7,
        "latency_p99_ms": 44.0,
        "mean_reciprocal_rank": 0.61,
        "top_texts": [{"text": "red shoes", "count": "120"}],
        "top_zero_result_texts": [{"text": "snow shoes", "count": "9"}],
    },
    keys.ApiKey: {
        "display_name": "Storefront",
        "scope": "SCOPE_SEARCH",
        "catalogs": ["catalogs/demo"],
        "rate_limit_per_s": 50.0,
    },
    keys.CreateApiKeyResponse: {
        "api_key": _KEY,
        "secret": "vk_9f2c81d05b7e4a36_the-secret-is-shown-once",
    },
    keys.ListApiKeysResponse: {"api_keys": [_KEY], "next_page_token": ""},
    status.GetStatusResponse: {
        "version": "0.1.0",
        "start_time": _TIME,
        "revision": "1042",
        "replicas": [
            {
                "set": "shards",
                "in_use": True,
                "shard": 0,
                "target": "127.0.0.1:50060",
                "state": "REPLICA_STATE_CAUGHT_UP",
                "revision": "1042",
                "lag": "0",
                "in_hand": 1,
                "products": "6619",
                "rows": "6619",
                "memory_bytes": "22614016",
                "index_kinds": ["sq8"],
            }
        ],
        "dependencies": [
            {"name": "embedder", "available": True, "problem": "", "latency_ms": 0.9},
            {"name": "ranker", "available": True, "problem": "", "latency_ms": 0.7},
            {"name": "store", "available": True, "problem": "", "latency_ms": 0.4},
        ],
        "stages": [{"stage": "embed", "count": "1000", "p50_ms": 9.4, "p95_ms": 17.3, "p99_ms": 31.0}],
        "searches": {"hit": "6054", "miss": "12071", "shared": "105", "bypass": "0"},
        "cache_lookups": [
            {
                "layer": "memory",
                "kind": "answer",
                "hit": "6054",
                "miss": "12176",
                "failed": "0",
                "skipped": "0",
                "saved_s": 85.2,
            }
        ],
        "cache_bytes": "18874368",
    },
    status.GetModelsResponse: {
        "models": [
            {
                "spec": _SPACE,
                "device": "cpu",
                "dtype": "float32",
                "unavailable_reason": "",
                "preprocessing": {
                    "image_size": 224,
                    "mean": [122.77, 116.75, 104.09],
                    "std": [68.5, 66.63, 70.32],
                },
                "memory_bytes": "605108998",
                "default": True,
                "card": "# clip\n\nPhotos and words in one space.",
            }
        ]
    },
}


def _problem(status: HTTPStatus, title: str, reason: str, detail: str, **more: Any) -> dict[str, Any]:
    return {
        "type": f"/docs/#{title.lower().replace(' ', '-')}",
        "title": title,
        "status": status.value,
        "detail": detail,
        "reason": reason,
        **more,
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
    }


PROBLEMS: dict[int, dict[str, Any]] = {
    problem["status"]: problem
    for problem in (
        _problem(
            HTTPStatus.BAD_REQUEST, "Invalid argument", "INVALID_ARGUMENT", "must be 1 to 100", field="k"
        ),
        _problem(
            HTTPStatus.UNAUTHORIZED, "Unauthenticated", "UNAUTHENTICATED", "needs an API key or a token"
        ),
        _problem(HTTPStatus.FORBIDDEN, "Permission denied", "SCOPE_MISSING", "needs the scope write"),
        _problem(HTTPStatus.NOT_FOUND, "Not found", "NOT_FOUND", "there is no catalogs/demo/products/4711"),
        _problem(
            HTTPStatus.CONFLICT, "Aborted", "ETAG_MISMATCH", "somebody else has changed the product meanwhile"
        ),
        _problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "Content too large",
            "CONTENT_TOO_LARGE",
            "a body has at most 67108864 bytes",
        ),
        _problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "Unsupported media type",
            "UNSUPPORTED_MEDIA_TYPE",
            "the body is application/json",
        ),
        _problem(
            HTTPStatus.MISDIRECTED_REQUEST,
            "Misdirected request",
            "MISDIRECTED_REQUEST",
            "this server is not reached by that name; see http_names",
        ),
        _problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            "Too many requests",
            "RATE_LIMITED",
            "more requests than this key may make",
            retry_after=0.2,
        ),
        _problem(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            "Request header fields too large",
            "REQUEST_HEADER_FIELDS_TOO_LARGE",
            "a request has at most 100 headers of 32768 bytes together",
        ),
        _problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "Unavailable",
            "STORE_UNAVAILABLE",
            "the store is away",
            retry_after=1.0,
        ),
        _problem(
            HTTPStatus.GATEWAY_TIMEOUT,
            "Deadline exceeded",
            "DEADLINE_EXCEEDED",
            "the request took longer than 30 s",
        ),
    )
}

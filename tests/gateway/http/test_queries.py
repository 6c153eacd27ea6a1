from __future__ import annotations

from typing import Any

import pytest

from tests.gateway.http.conftest import Gateway
from vitrine.v1 import queries_pb2

QUERIES = "/v1/catalogs/demo/queries"


def asked(gateway: Gateway) -> Any:
    """The last request that reached the flow."""
    return gateway.flows.queries.asked[-1]


async def test_feedback(gateway: Gateway) -> None:
    """What somebody made of a hit arrives with its query; one of an unknown query is not found."""
    body = {"product": "4711", "kind": "FEEDBACK_KIND_ADD_TO_CART", "place": 3}
    response = await gateway.client.post(f"{QUERIES}/q1:feedback", json=body)
    assert (response.status_code, response.json()) == (200, {})
    request = asked(gateway)
    assert (request.catalog, request.query_id, request.product, request.place) == (
        "catalogs/demo",
        "q1",
        "4711",
        3,
    )
    assert request.kind == queries_pb2.FEEDBACK_KIND_ADD_TO_CART
    missing = await gateway.client.post(f"{QUERIES}/q2:feedback", json=body)
    assert (missing.status_code, missing.json()["reason"]) == (404, "QUERY_UNKNOWN")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "FEEDBACK_KIND_CLICK"}, "product"),
        ({"product": "a"}, "kind"),
        ({"product": "a", "kind": "FEEDBACK_KIND_UNSPECIFIED"}, "kind"),
        ({"product": "a", "kind": 1}, "kind"),
    ],
)
async def test_wrong_feedback_is_refused_with_its_field(
    gateway: Gateway, body: dict[str, Any], field: str
) -> None:
    """Feedback names a product and a kind."""
    response = await gateway.client.post(f"{QUERIES}/q1:feedback", json=body)
    assert (response.status_code, response.json()["field"]) == (400, field)


async def test_queries_are_listed(gateway: Gateway) -> None:
    """The page, the times and the filter arrive, and a query comes back with its feedback."""
    response = await gateway.client.get(
        QUERIES,
        params={
            "page_size": 5,
            "zero_results_only": "true",
            "start_time": "2026-03-01T12:00:00+02:00",
            "end_time": "2026-03-02T00:00:00.5Z",
        },
    )
    assert response.json()["queries"][0]["feedback"][0]["kind"] == "FEEDBACK_KIND_LIKE"
    request = asked(gateway)
    assert (request.parent, request.page_size, request.zero_results_only) == ("catalogs/demo", 5, True)
    assert request.start_time.ToJsonString() == "2026-03-01T10:00:00Z"
    assert request.end_time.ToJsonString() == "2026-03-02T00:00:00.500Z"


async def test_queries_are_summed_up(gateway: Gateway) -> None:
    """Counts are strings, as 64-bit integers are; without times none is asked for."""
    response = await gateway.client.get(f"{QUERIES}:stats")
    assert response.json()["top_texts"] == [{"text": "red", "count": "1"}]
    assert not asked(gateway).HasField("start_time")

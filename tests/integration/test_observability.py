from __future__ import annotations

import secrets
import urllib.request
from collections.abc import Mapping

import grpc
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.drawings import draw
from tests.integration.conftest import Shop
from tests.integration.test_search import encoded
from tests.meshes import LiveMesh, eventually
from vitrine import Client
from vitrine.v1 import common_pb2, search_pb2, search_pb2_grpc

pytestmark = pytest.mark.integration

TIMEOUT_S = 60.0
GRPC_SERVICES = {
    "gateway": ("vitrine.v1.SearchService", "Search"),
    "embedder": ("vitrine.v1.EmbedderService", "EmbedImages"),
    "ranker": ("vitrine.v1.RankerService", "Rank"),
    "vectorsearch-0": ("vitrine.v1.VectorSearchService", "SearchVectors"),
    "vectorsearch-1": ("vitrine.v1.VectorSearchService", "SearchVectors"),
}


def scraped(url: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
        families = list(text_string_to_metric_families(response.read().decode()))
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def handled(
    samples: Mapping[tuple[str, frozenset[tuple[str, str]]], float], service: str, method: str
) -> float:
    wanted = {("grpc_service", service), ("grpc_method", method), ("grpc_code", "OK")}
    found = [
        value
        for (name, labels), value in samples.items()
        if name == "grpc_server_handled_total" and labels >= wanted
    ]
    assert len(found) == 1
    return found[0]


def test_every_metrics_port_counts_the_calls_of_a_search(mesh: LiveMesh, client: Client) -> None:
    """A photo search is one more call handled in every service, beside metrics of the service's own."""
    before = {name: scraped(mesh.layout.metrics_url(name)) for name in GRPC_SERVICES}
    client.search(image=encoded(draw("Shoes", "White", seed=7)), k=3)
    for name, (service, method) in GRPC_SERVICES.items():
        after = scraped(mesh.layout.metrics_url(name))
        assert handled(after, service, method) == handled(before[name], service, method) + 1
        own = f"vitrine_{name.partition('-')[0]}_"
        assert any(metric.startswith(own) for metric, _ in after)
        # Codes that never occurred are there as well, at zero.
        assert any(("grpc_code", "DATA_LOSS") in labels for _, labels in after)


def test_one_trace_id_is_in_the_logs_of_all_services(mesh: LiveMesh, drawn: Shop) -> None:
    """The trace that a caller began is logged by each service that took part in the search."""
    trace_id = secrets.token_hex(16)
    with grpc.insecure_channel(mesh.layout.gateway) as channel:
        search_pb2_grpc.SearchServiceStub(channel).Search(
            search_pb2.SearchRequest(
                catalog=f"catalogs/{drawn.catalog}",
                parts=[
                    search_pb2.QueryPart(
                        image=common_pb2.Image(content=encoded(draw("Dresses", "White", seed=8)))
                    )
                ],
            ),
            timeout=TIMEOUT_S,
            metadata=(("traceparent", f"00-{trace_id}-{secrets.token_hex(8)}-01"),),
        )
    _expect_trace(mesh, trace_id)


def test_the_trace_of_an_http_request_is_taken_up(mesh: LiveMesh, drawn: Shop) -> None:
    """Over HTTP too, and the answer names it."""
    trace_id = secrets.token_hex(16)
    answer = httpx.post(
        f"{mesh.layout.url}/v1/catalogs/{drawn.catalog}:search",
        files={"image": encoded(draw("Dresses", "White", seed=9))},
        headers={"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"},
        timeout=TIMEOUT_S,
    )
    assert (answer.status_code, answer.headers["trace-id"]) == (200, trace_id)
    _expect_trace(mesh, trace_id)


def _expect_trace(mesh: LiveMesh, trace_id: str) -> None:
    """Every service has logged the trace; lines reach the files a moment after the answer reaches us."""

    def silent() -> list[str]:
        return [
            name
            for name in GRPC_SERVICES
            if not any(line.get("trace_id") == trace_id for line in mesh.lines(name))
        ]

    eventually(lambda: not silent(), what=f"the trace is logged by {GRPC_SERVICES.keys()}")


def test_health_and_openapi_answer(mesh: LiveMesh) -> None:
    """`/healthz` says that it serves, and the OpenAPI document lists the search."""
    with httpx.Client(base_url=mesh.layout.url, timeout=TIMEOUT_S) as http:
        assert http.get("/healthz").status_code == 200
        assert "/v1/catalogs/{catalog}:search" in http.get("/openapi.json").json()["paths"]

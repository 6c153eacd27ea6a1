from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.duration_pb2 import Duration

from services.mesh import trace
from tests.drawings import draw
from tests.integration.conftest import Shop
from tests.integration.test_search import encoded
from tests.mesh.receivers import Received, Receiver
from tests.meshes import LiveMesh
from vitrine.v1 import common_pb2, search_pb2, search_pb2_grpc

pytestmark = pytest.mark.integration

TIMEOUT_S = 60.0
SEARCH = "vitrine.v1.SearchService/Search"
ROUTE = "/v1/catalogs/{catalog}:search"
# What a search by photo asks of whom, of two shards each.
HOPS = {
    ("vitrine-embedder", "vitrine.v1.EmbedderService/EmbedImages"): 1,
    ("vitrine-vectorsearch", "vitrine.v1.VectorSearchService/SearchVectors"): 2,
    ("vitrine-ranker", "vitrine.v1.RankerService/Rank"): 1,
}


@dataclass(frozen=True)
class Caller:
    """Who begins a trace, and wants it recorded."""

    trace: str = field(default_factory=lambda: secrets.token_hex(16))
    span: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def header(self) -> tuple[str, str]:
        return trace.HEADER, f"00-{self.trace}-{self.span}-01"


@dataclass(frozen=True)
class Asked:
    """What was asked, each as a trace of its own, what was answered, and the spans that came of all of it."""

    over_grpc: Caller
    trailing: list[tuple[Any, ...]]
    over_http: Caller
    answer: httpx.Response
    refused: Caller
    error: Any
    undecided: list[str]
    spans: list[Received]

    def of(self, trace_id: str) -> list[Received]:
        return [span for span in self.spans if span.trace == trace_id]


@pytest.fixture(scope="module")
def asked(mesh: LiveMesh, receiver: Receiver, drawn: Shop) -> Asked:
    """Everything at once, as spans come every few seconds."""
    over_grpc, over_http, refused, last = (Caller() for _ in range(4))
    # The first would be in every share of OpenTelemetry's, the second in none.
    undecided = [f"{secrets.token_hex(8)}{end}" for end in ("0" * 16, "f" * 16) for _ in range(16)]
    # By a caller that is no client of ours.
    with grpc.insecure_channel(mesh.layout.gateway) as channel:
        search = search_pb2_grpc.SearchServiceStub(channel).Search
        _, call = search.with_call(by_photo(drawn, 101), timeout=TIMEOUT_S, metadata=(over_grpc.header,))
        answer = httpx.post(
            f"{mesh.layout.url}/v1/catalogs/{drawn.catalog}:search",
            files={"image": encoded(draw("Dresses", "White", seed=102))},
            headers=dict([over_http.header]),
            timeout=TIMEOUT_S,
        )
        for seed, trace_id in enumerate(undecided, 200):
            # Photos of which the gateway has no vectors yet.
            search(by_photo(drawn, seed), timeout=TIMEOUT_S, metadata=((trace.ID_HEADER, trace_id),))
        words = search_pb2.QueryPart(text="secret " * 10_000)
        request = search_pb2.SearchRequest(catalog=f"catalogs/{drawn.catalog}", parts=[words])
        with pytest.raises(grpc.RpcError) as error:
            search(request, timeout=TIMEOUT_S, metadata=(refused.header,))
        search(by_photo(drawn, 300), timeout=TIMEOUT_S, metadata=(last.header,))
    # Services send their spans in order: once those of the last are there, all are.
    spans = receiver.spans_when(lambda spans: is_whole(spans, last.trace))
    trailing = [tuple(each) for each in call.trailing_metadata()]
    return Asked(over_grpc, trailing, over_http, answer, refused, error.value, undecided, spans)


def by_photo(shop: Shop, seed: int) -> search_pb2.SearchRequest:
    image = common_pb2.Image(content=encoded(draw("Dresses", "White", seed=seed)))
    return search_pb2.SearchRequest(
        catalog=f"catalogs/{shop.catalog}",
        parts=[search_pb2.QueryPart(image=image)],
        max_staleness=Duration(),
    )


def expect_whole(spans: Sequence[Received], root: Received) -> None:
    """Everything hangs on `root`, and every hop is there: asked for in a stage, and answered."""
    by_id = {span.id: span for span in spans}
    assert len(by_id) == len(spans)
    assert [span for span in spans if span is not root and span.parent not in by_id] == []
    for (service, rpc), hops in HOPS.items():
        servers = [span for span in spans if (span.service, span.kind, span.name) == (service, "server", rpc)]
        assert len(servers) == hops
        for server in servers:
            client = by_id[server.parent]
            assert (client.service, client.kind, client.name) == ("vitrine-gateway", "client", rpc)
            stage = by_id[client.parent]
            assert (stage.service, stage.kind) == ("vitrine-gateway", "internal")
            assert by_id[stage.parent] is root
    stages = {(span.service, span.name) for span in spans if span.kind == "internal"}
    assert stages >= {
        ("vitrine-gateway", "embed"),
        ("vitrine-gateway", "search"),
        ("vitrine-gateway", "rank"),
        ("vitrine-embedder", "forward"),
        ("vitrine-vectorsearch", "filter"),
        ("vitrine-vectorsearch", "search"),
    }


def is_whole(spans: Sequence[Received], trace_id: str) -> bool:
    """Whether each service has sent its spans, which come by themselves."""
    servers = [span.service for span in spans if span.trace == trace_id and span.kind == "server"]
    return len(servers) == 1 + sum(HOPS.values())


def test_a_search_is_one_trace(asked: Asked) -> None:
    """With the caller's flag, a search by photo is one tree of spans of all services below the caller's."""
    assert (trace.ID_HEADER, asked.over_grpc.trace) in asked.trailing
    spans = asked.of(asked.over_grpc.trace)
    [root] = [span for span in spans if span.parent == asked.over_grpc.span]
    assert (root.service, root.kind, root.name) == ("vitrine-gateway", "server", SEARCH)
    expect_whole(spans, root)
    assert len({span.resource["service.instance.id"] for span in spans}) == 5


def test_a_search_over_http_is_one_trace(asked: Asked) -> None:
    """Its root is named by the route, and does not tell what was looked at."""
    assert asked.answer.headers[trace.ID_HEADER] == asked.over_http.trace
    spans = asked.of(asked.over_http.trace)
    [root] = [span for span in spans if span.parent == asked.over_http.span]
    assert (root.service, root.kind, root.name) == ("vitrine-gateway", "server", f"POST {ROUTE}")
    assert root.attributes == {
        "http.request.method": "POST",
        "http.route": ROUTE,
        "http.response.status_code": 200,
        "url.scheme": "http",
    }
    expect_whole(spans, root)


def test_a_share_of_many_searches_is_recorded_whole(asked: Asked) -> None:
    """Of searches whose caller leaves it to us some are whole traces, whatever their ids, others none."""
    traces = {trace_id: spans for trace_id in asked.undecided if (spans := asked.of(trace_id))}
    assert set() < traces.keys() < set(asked.undecided)
    for spans in traces.values():
        [root] = [span for span in spans if not span.parent]
        expect_whole(spans, root)


def test_an_error_tells_its_trace(asked: Asked) -> None:
    """A refused search has the trace id beside its details, and is one span without its words."""
    assert asked.error.code() is grpc.StatusCode.INVALID_ARGUMENT
    trailing = dict(asked.error.trailing_metadata())
    assert trailing[trace.ID_HEADER] == asked.refused.trace
    assert "grpc-status-details-bin" in trailing
    [span] = asked.of(asked.refused.trace)
    assert (span.is_error, span.attributes["rpc.grpc.status_code"]) == (False, 3)
    assert b"secret" not in span.raw.SerializeToString()

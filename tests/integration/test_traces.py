from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterator, Sequence
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


@pytest.fixture
def search(mesh: LiveMesh) -> Iterator[search_pb2_grpc.SearchServiceStub]:
    """The gateway's search, by a caller that is no client of ours."""
    with grpc.insecure_channel(mesh.layout.gateway) as channel:
        yield search_pb2_grpc.SearchServiceStub(channel)


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


def test_a_search_is_one_trace(
    search: search_pb2_grpc.SearchServiceStub, receiver: Receiver, drawn: Shop
) -> None:
    """With the caller's flag, a search by photo is one tree of spans of all services below the caller's."""
    trace_id, caller = secrets.token_hex(16), secrets.token_hex(8)
    _, call = search.Search.with_call(
        by_photo(drawn, 101), timeout=TIMEOUT_S, metadata=((trace.HEADER, f"00-{trace_id}-{caller}-01"),)
    )
    assert (trace.ID_HEADER, trace_id) in [tuple(each) for each in call.trailing_metadata()]
    found = receiver.spans_when(lambda spans: is_whole(spans, trace_id))
    spans = [span for span in found if span.trace == trace_id]
    [root] = [span for span in spans if span.parent == caller]
    assert (root.service, root.kind, root.name) == ("vitrine-gateway", "server", SEARCH)
    expect_whole(spans, root)
    assert len({span.resource["service.instance.id"] for span in spans}) == 5


def test_a_search_over_http_is_one_trace(mesh: LiveMesh, receiver: Receiver, drawn: Shop) -> None:
    """Its root is named by the route, and does not tell what was looked at."""
    trace_id, caller = secrets.token_hex(16), secrets.token_hex(8)
    answer = httpx.post(
        f"{mesh.layout.url}/v1/catalogs/{drawn.catalog}:search",
        files={"image": encoded(draw("Dresses", "White", seed=102))},
        headers={trace.HEADER: f"00-{trace_id}-{caller}-01"},
        timeout=TIMEOUT_S,
    )
    assert answer.headers[trace.ID_HEADER] == trace_id
    found = receiver.spans_when(lambda spans: is_whole(spans, trace_id))
    spans = [span for span in found if span.trace == trace_id]
    [root] = [span for span in spans if span.parent == caller]
    assert (root.service, root.kind, root.name) == ("vitrine-gateway", "server", f"POST {ROUTE}")
    assert root.attributes == {
        "http.request.method": "POST",
        "http.route": ROUTE,
        "http.response.status_code": 200,
        "url.scheme": "http",
    }
    expect_whole(spans, root)


def test_a_share_of_many_searches_is_recorded_whole(
    search: search_pb2_grpc.SearchServiceStub, receiver: Receiver, drawn: Shop
) -> None:
    """Of searches whose caller leaves it to us some are whole traces, whatever their ids, others none."""
    # The first would be in every share of OpenTelemetry's, the second in none.
    ids = [f"{secrets.token_hex(8)}{end}" for end in ("0" * 16, "f" * 16) for _ in range(16)]
    for seed, trace_id in enumerate(ids, 200):
        # Photos of which the gateway has no vectors yet.
        search.Search(by_photo(drawn, seed), timeout=TIMEOUT_S, metadata=((trace.ID_HEADER, trace_id),))
    # Services send their spans in order: once those of this are there, all are.
    last = secrets.token_hex(16)
    header = f"00-{last}-{secrets.token_hex(8)}-01"
    search.Search(by_photo(drawn, 300), timeout=TIMEOUT_S, metadata=((trace.HEADER, header),))
    traces = defaultdict(list)
    for span in receiver.spans_when(lambda spans: is_whole(spans, last)):
        if span.trace in ids:
            traces[span.trace].append(span)
    assert set() < traces.keys() < set(ids)
    for spans in traces.values():
        [root] = [span for span in spans if not span.parent]
        expect_whole(spans, root)


def test_an_error_tells_its_trace(
    search: search_pb2_grpc.SearchServiceStub, receiver: Receiver, drawn: Shop
) -> None:
    """A refused search has the trace id beside its details, and is one span without its words."""
    trace_id = secrets.token_hex(16)
    request = search_pb2.SearchRequest(
        catalog=f"catalogs/{drawn.catalog}", parts=[search_pb2.QueryPart(text="secret " * 10_000)]
    )
    with pytest.raises(grpc.RpcError) as refused:
        search.Search(
            request,
            timeout=TIMEOUT_S,
            metadata=((trace.HEADER, f"00-{trace_id}-{secrets.token_hex(8)}-01"),),
        )
    error: Any = refused.value
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    trailing = dict(error.trailing_metadata())
    assert trailing[trace.ID_HEADER] == trace_id
    assert "grpc-status-details-bin" in trailing
    found = receiver.spans_when(lambda spans: any(span.trace == trace_id for span in spans))
    [span] = [span for span in found if span.trace == trace_id]
    assert (span.is_error, span.attributes["rpc.grpc.status_code"]) == (False, 3)
    assert b"secret" not in span.raw.SerializeToString()

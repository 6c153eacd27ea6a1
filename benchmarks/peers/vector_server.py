"""A library of vector search behind gRPC, as such servers are usually written: one thread and search a call.

It answers the RPC that the shard answers, so that both are sent the same bytes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, cast

import grpc
import numpy as np
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from benchmarks.peers.vector_libraries import BREADTHS, LIBRARIES, WANTED_RECALL, Floats, Graph, Library
from benchmarks.vectorsearch.collection import Collection
from benchmarks.vectorsearch.messages import product_id
from vitrine.v1 import common_pb2, vectorsearch_pb2

# What gRPC's own examples take.
_THREADS = 10
_SERVICE = "vitrine.v1.VectorSearchService"
_BATCH = 64


def search_vectors(
    library: Library, request: vectorsearch_pb2.SearchVectorsRequest, _context: Any
) -> vectorsearch_pb2.SearchVectorsResponse:
    """One search on the thread that the call came to; of the filter it counts only whether there is one."""
    query = np.frombuffer(request.queries[0].vector.data, dtype=np.float32)
    found = library.search(query, request.limit, filtered=bool(request.filter.all_of))
    candidates = common_pb2.Candidates(product_ids=[product_id(row) for row in found])
    return vectorsearch_pb2.SearchVectorsResponse(candidates=candidates)


def main() -> None:
    """Build the index, tell about it in a file, and serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--library", choices=list(LIBRARIES), required=True)
    parser.add_argument("--collection", type=Path, required=True, help="folder of a Collection")
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--space", required=True)
    parser.add_argument("--selectivity", type=float, required=True, help="of the filter")
    parser.add_argument("--limit", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="for which batches are timed")
    parser.add_argument("--told", type=Path, required=True, help="where its own figures are written")
    own = parser.parse_args()
    collection = Collection(own.collection, own.rows, (own.space,), 0, "")
    rows, queries = np.array(collection.matrix(own.space)), collection.asked(own.space)
    start = time.perf_counter()
    make = LIBRARIES[own.library]
    library = make.build(rows, collection.passing(own.selectivity))
    told: dict[str, object] = {"build_s": round(time.perf_counter() - start, 2)}
    if make.is_graph:
        told["breadth"] = _widen(cast("Graph", library), rows, queries[:_BATCH], own.limit)
    told["direct_batch_queries_per_s"] = round(
        _rate(lambda: library.search_many(queries[:_BATCH], own.limit), len(queries[:_BATCH]), own.seconds), 1
    )
    own.told.write_text(json.dumps(told))
    _serve(library, own.port)


def _widen(graph: Graph, rows: Floats, queries: Floats, limit: int) -> int:
    """The least breadth of search with the recall that is wanted, which the graph has from now on."""
    best = np.argsort(-(queries @ rows.T), axis=1)[:, :limit]
    for breadth in BREADTHS:
        graph.widen(breadth)
        found = graph.search_many(queries, limit)
        right = sum(
            len(set(mine) & set(wanted)) for mine, wanted in zip(found.tolist(), best.tolist(), strict=True)
        )
        if right >= WANTED_RECALL * best.size:
            break
    return breadth


def _rate(run: Callable[[], object], items: int, seconds: float) -> float:
    run()
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        run()
        done += items
    return done / (time.perf_counter() - start)


def _serve(library: Library, port: int) -> None:
    server = grpc.server(ThreadPoolExecutor(_THREADS))
    method = grpc.unary_unary_rpc_method_handler(
        partial(search_vectors, library),
        request_deserializer=vectorsearch_pb2.SearchVectorsRequest.FromString,
        response_serializer=vectorsearch_pb2.SearchVectorsResponse.SerializeToString,
    )
    service = grpc.method_handlers_generic_handler(_SERVICE, {"SearchVectors": method})
    server.add_generic_rpc_handlers((service,))
    healthy = health.HealthServicer()
    healthy.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()

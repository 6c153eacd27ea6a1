from __future__ import annotations

import json
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from services.mesh.buckets import bucket_of, shard_of
from services.mesh.errors import Unavailable
from tests.faults.conftest import Household
from tests.faults.searcher import searching
from tests.meshes import PATIENCE_S, SHARDS, LiveMesh, eventually
from vitrine import Client, SearchResults
from vitrine.client.refusals import domain_error
from vitrine.v1 import search_pb2, search_pb2_grpc

pytestmark = pytest.mark.faults

PRODUCTS = {str(1000 + number) for number in range(64)}


def is_whole(results: SearchResults) -> bool:
    return not results.degraded and results.shards_ok == results.shards_total


def expect_everything(mesh: LiveMesh, catalog: str) -> None:
    """All products are listed, are found by a search, and can be the query of one."""
    with mesh.client(catalog) as client:
        assert {product.id for product in client.list()} == PRODUCTS
        # A shard may still be on its way back to the feed of a gateway that was started again.
        _await_all(client)
        revision = client.get_catalog().revision
        for product in sorted(PRODUCTS):
            similar = client.search(product=product, min_revision=revision, max_staleness_s=0)
            assert is_whole(similar)
            assert len(similar.hits) == 10


@pytest.mark.parametrize("service", ["ranker", "vectorsearch-0", "gateway", "embedder"])
def test_a_killed_service_comes_back_and_nothing_is_lost(
    mesh: LiveMesh, drawn_catalog: Path, service: str
) -> None:
    """Killed while one caller searches and another indexes, it is started again, and both get what they want.

    No search hangs or is wrong meanwhile; the index run succeeds, and all that it wrote is found.
    """
    catalog = f"during-{service}"
    with (
        searching(mesh) as searcher,
        mesh.start("index", drawn_catalog, "--catalog", catalog, "--json") as indexing,
    ):
        eventually(lambda: _products(mesh, catalog) > 0, what="the first batch is written")
        pid = mesh.pid(service)
        mesh.kill(service)
        mesh.await_restart(service, killed=pid)
        out, err = indexing.communicate(timeout=PATIENCE_S)
        answered = len(searcher.answers)
        eventually(
            lambda: any(answer.is_whole for answer in searcher.answers[answered:]),
            what="searches are whole again",
        )
    assert indexing.returncode == 0, err
    summary = json.loads(out)
    assert (summary["indexed"] + summary["unchanged"], summary["failed"]) == (64, 0)
    expect_everything(mesh, catalog)


def test_a_stopped_shard_is_left_out_and_said_to_be(mesh: LiveMesh) -> None:
    """A shard that does not answer costs its products, which the answer admits, until it is back."""
    shoes, lost, other = (
        search_pb2.QueryPart(text="shoes"),
        search_pb2.QueryPart(product=min(_owned_by(1))),
        search_pb2.QueryPart(product=min(_owned_by(0))),
    )
    # Not by a client of ours, which would try four times.
    with mesh.hanging("vectorsearch-1"), grpc.insecure_channel(mesh.layout.gateway) as channel:
        # At once, since each takes as long as a shard may.
        asked = [
            search_pb2_grpc.SearchServiceStub(channel).Search.future(
                search_pb2.SearchRequest(
                    catalog="catalogs/steady",
                    parts=[part],
                    k=100,
                    max_staleness=Duration(),
                    refuse_partial=refuse_partial,
                ),
                timeout=60,
            )
            for part, refuse_partial in ((shoes, False), (shoes, True), (lost, False), (other, False))
        ]
        partial, refused, of_lost, of_other = (call.exception() or call.result() for call in asked)
    assert isinstance(partial, search_pb2.SearchResponse)
    assert list(partial.degraded) == ["shard:1"]
    assert (partial.shards_ok, partial.shards_total) == (1, SHARDS)
    assert {hit.product.name.rpartition("/")[2] for hit in partial.hits} == _owned_by(0)
    assert isinstance(refused, grpc.RpcError)
    assert domain_error(mesh.layout.gateway, refused).reason == "PARTIAL"
    assert isinstance(of_lost, grpc.RpcError)
    assert isinstance(domain_error(mesh.layout.gateway, of_lost), Unavailable)
    assert isinstance(of_other, search_pb2.SearchResponse)
    assert list(of_other.degraded) == ["shard:1"]
    with mesh.client("steady") as client:
        _await_all(client)


def test_everything_is_found_after_a_restart(household: Household) -> None:
    """A mesh that was stopped in order and started again has all it had."""
    expect_everything(household.restart(), "steady")


def test_everything_is_found_after_a_power_cut(household: Household, drawn_catalog: Path) -> None:
    """All processes killed at once lose nothing acknowledged, and the run goes on where it was."""
    mesh = household.mesh
    with mesh.start("index", drawn_catalog, "--catalog", "power-cut") as indexing:
        eventually(lambda: _products(mesh, "power-cut") > 0, what="the first batch is written")
        acknowledged = _products(mesh, "power-cut")
        mesh.cut_power()
        indexing.kill()
        indexing.communicate()
    mesh = household.restart()
    assert _products(mesh, "power-cut") >= acknowledged
    expect_everything(mesh, "steady")
    summary = mesh.run_json("index", drawn_catalog, "--catalog", "power-cut")
    assert summary["unchanged"] >= acknowledged
    expect_everything(mesh, "power-cut")


def _shoes(client: Client) -> SearchResults:
    return client.search(text="shoes", k=100, max_staleness_s=0)


def _await_all(client: Client) -> None:
    def finds_all() -> bool:
        found = _shoes(client)
        return is_whole(found) and _found(found) == PRODUCTS

    eventually(finds_all, what="all products are found")


def _found(results: SearchResults) -> set[str]:
    return {hit.product.id for hit in results.hits}


def _owned_by(shard: int) -> set[str]:
    return {product for product in PRODUCTS if shard_of(bucket_of("steady", product), SHARDS) == shard}


def _products(mesh: LiveMesh, catalog: str) -> int:
    """How many products the catalogue has now; 0 while there is none."""
    with mesh.client(catalog) as client:
        return next((found.products for found in client.catalogs() if found.id == catalog), 0)

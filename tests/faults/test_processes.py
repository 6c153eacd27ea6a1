from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from services.mesh.buckets import bucket_of, shard_of
from services.mesh.errors import Unavailable
from tests.faults.conftest import Household
from tests.faults.searcher import DEADLINE_S, searching
from tests.meshes import SHARDS, LiveMesh, eventually
from vitrine import Client, SearchResults

pytestmark = pytest.mark.faults

PRODUCTS = {str(1000 + number) for number in range(64)}


def is_whole(results: SearchResults) -> bool:
    return not results.degraded and results.shards_ok == results.shards_total


def expect_everything(mesh: LiveMesh, catalog: str) -> None:
    """All products are listed, are found by a search, and can be the query of one."""
    with mesh.client(catalog) as client:
        assert {product.id for product in client.list()} == PRODUCTS
        # A shard may still be on its way back to the feed of a gateway that was started again.
        eventually(lambda: _found(_shoes(client)) == PRODUCTS, timeout_s=30, what="all products are found")
        found = _shoes(client)
        assert is_whole(found)
        assert _found(found) == PRODUCTS
        for product in sorted(PRODUCTS):
            similar = client.search(product=product, min_revision=found.revision, max_staleness_s=0)
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
        eventually(lambda: _products(mesh, catalog) > 0, timeout_s=60, what="the first batch is written")
        pid = mesh.pid(service)
        mesh.kill(service)
        mesh.await_restart(service, killed=pid)
        out, err = indexing.communicate(timeout=180)
        answered = len(searcher.answers)
        eventually(
            lambda: any(answer.is_whole for answer in searcher.answers[answered:]),
            timeout_s=30,
            what="searches are whole again",
        )
    assert indexing.returncode == 0, err
    summary = json.loads(out)
    assert (summary["indexed"] + summary["unchanged"], summary["failed"]) == (64, 0)
    expect_everything(mesh, catalog)


def test_a_stopped_shard_is_left_out_and_said_to_be(mesh: LiveMesh) -> None:
    """A shard that does not answer costs its products, which the answer admits, until it is back."""
    with mesh.client("steady", read_s=DEADLINE_S) as client:
        os.kill(mesh.pid("vectorsearch-1"), signal.SIGSTOP)
        try:
            start = time.monotonic()
            partial = client.search(text="shoes", k=100, max_staleness_s=0)
            assert time.monotonic() - start < DEADLINE_S
            assert (partial.degraded, partial.shards_ok, partial.shards_total) == (("shard:1",), 1, SHARDS)
            assert _found(partial) == _owned_by(0)
            with pytest.raises(Unavailable) as refused:
                client.search(text="shoes", k=100, max_staleness_s=0, refuse_partial=True)
            assert refused.value.reason == "PARTIAL"
            with pytest.raises(Unavailable):
                client.search(product=min(_owned_by(1)), max_staleness_s=0)
            assert client.search(product=min(_owned_by(0)), max_staleness_s=0).degraded == ("shard:1",)
        finally:
            os.kill(mesh.pid("vectorsearch-1"), signal.SIGCONT)
        eventually(lambda: is_whole(_shoes(client)), timeout_s=30, what="the answer is whole again")
        assert _found(_shoes(client)) == PRODUCTS


def test_everything_is_found_after_a_restart(household: Household) -> None:
    """A mesh that was stopped in order and started again has all it had."""
    expect_everything(household.restart(), "steady")


def test_everything_is_found_after_a_power_cut(household: Household, drawn_catalog: Path) -> None:
    """All processes killed at once lose nothing acknowledged, and the run goes on where it was."""
    mesh = household.mesh
    with mesh.start("index", drawn_catalog, "--catalog", "power-cut") as indexing:
        eventually(lambda: _products(mesh, "power-cut") > 0, timeout_s=60, what="the first batch is written")
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


def _found(results: SearchResults) -> set[str]:
    return {hit.product.id for hit in results.hits}


def _owned_by(shard: int) -> set[str]:
    return {product for product in PRODUCTS if shard_of(bucket_of("steady", product), SHARDS) == shard}


def _products(mesh: LiveMesh, catalog: str) -> int:
    """How many products the catalogue has now; 0 while there is none."""
    with mesh.client(catalog) as client:
        return next((found.products for found in client.catalogs() if found.id == catalog), 0)

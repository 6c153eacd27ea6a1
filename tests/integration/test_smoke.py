from __future__ import annotations

import pytest

from tests.meshes import LiveMesh

pytestmark = pytest.mark.integration


def test_a_running_mesh_passes(mesh: LiveMesh) -> None:
    """Every step goes well with the real models and shards, and no catalogue is left."""
    told = mesh.run_json("smoke")
    assert told["passed"]
    assert [step["name"] for step in told["steps"]][-2:] == ["explain", "delete"]
    with mesh.client("any") as client:
        assert told["catalog"] not in {catalog.id for catalog in client.catalogs()}


def test_a_shard_that_hangs_is_told(mesh: LiveMesh) -> None:
    """What was written does not reach it, which is what the failed step says; and all is deleted."""
    with mesh.hanging("vectorsearch-1"):
        told = mesh.run_json("smoke", "--timeout", 30, status=1)
    failed = {step["name"]: step["detail"] for step in told["steps"] if not step["ok"]}
    assert set(failed) == {"wait"}
    with mesh.client("any") as client:
        assert told["catalog"] not in {catalog.id for catalog in client.catalogs()}

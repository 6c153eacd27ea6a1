from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.integration.conftest import Shop
from tests.meshes import LiveMesh, eventually
from vitrine import Client

pytestmark = pytest.mark.integration


def get(mesh: LiveMesh, path: str) -> dict[str, Any]:
    answer = httpx.get(f"{mesh.layout.url}{path}", timeout=60)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_mesh_is_well(mesh: LiveMesh, drawn: Shop, client: Client) -> None:
    """Every shard has caught up and lags by nothing, and every dependency answers."""
    client.search(text="white shoes", k=3)
    products = len({row["id"] for row in drawn.rows()})
    told: dict[str, Any] = {}

    def is_well() -> bool:
        told.update(get(mesh, "/v1/status"))
        return (
            all((each["state"], each["lag"]) == ("REPLICA_STATE_CAUGHT_UP", "0") for each in told["replicas"])
            and sum(int(each["products"]) for each in told["replicas"]) >= products
            and all(each["available"] for each in told["dependencies"])
        )

    # What gateways know of shards is a second old, and who stands still for one does not answer.
    eventually(is_well, what="every shard has caught up and every dependency answers")
    assert [(each["set"], each["in_use"], each["shard"]) for each in told["replicas"]] == [
        ("shards", True, 0),
        ("shards", True, 1),
    ]
    assert all(int(each["memory_bytes"]) > 0 and each["index_kinds"] for each in told["replicas"])
    assert {each["name"]: each["problem"] for each in told["dependencies"]} == {
        "embedder": "",
        "ranker": "",
        "store": "",
    }
    assert {"embed", "search", "rank", "metadata", "commit"} <= {each["stage"] for each in told["stages"]}
    assert sum(map(int, told["searches"].values())) > 0


def test_every_space_has_a_card(mesh: LiveMesh) -> None:
    """The models of the mesh come with what is known of them."""
    models = get(mesh, "/v1/models")["models"]
    assert [each["spec"]["space"] for each in models] == ["resnet50", "triplet", "colour", "clip"]
    for each in models:
        assert each["card"].startswith("# ")
        assert "## How well it does" in each["card"]
        assert not each["unavailable_reason"]

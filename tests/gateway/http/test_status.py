from __future__ import annotations

import pytest

from services.mesh.errors import Unavailable
from tests.gateway.http.conftest import Gateway


async def test_the_status(gateway: Gateway) -> None:
    """Replicas, dependencies, stages and counts come as JSON, with every field that is always there."""
    answer = await gateway.client.get("/v1/status")
    assert answer.status_code == 200
    told = answer.json()
    assert (told["version"], told["revision"], told["cache_bytes"]) == ("0.1.0", "1042", str(18 << 20))
    assert told["start_time"] == "2023-11-14T22:13:20Z"
    assert [
        (each["shard"], each["state"].removeprefix("REPLICA_STATE_"), each["lag"])
        for each in told["replicas"]
    ] == [
        (0, "CAUGHT_UP", "0"),
        (0, "CATCHING_UP", "318"),
        (1, "CAUGHT_UP", "0"),
        (1, "UNSPECIFIED", "42"),
    ]
    assert {each["name"]: each["available"] for each in told["dependencies"]} == {
        "embedder": True,
        "ranker": True,
        "store": True,
        "redis": False,
    }
    assert told["stages"][0] == {
        "stage": "embed",
        "count": "1000",
        "p50_ms": 9.5,
        "p95_ms": 17.25,
        "p99_ms": 31.0,
    }
    assert told["searches"] == {"hit": "6054", "miss": "12071", "shared": "105", "bypass": "3"}
    assert told["cache_lookups"][0]["saved_s"] == 85.25


async def test_the_models(gateway: Gateway) -> None:
    """Each model comes with its card, and one without weights says why."""
    answer = await gateway.client.get("/v1/models")
    assert answer.status_code == 200
    first, second = answer.json()["models"]
    assert first["card"].startswith("# resnet50\n")
    assert first["preprocessing"]["image_size"] == 224
    assert "preprocessing" not in second
    assert second["unavailable_reason"]


async def test_an_embedder_that_is_away(gateway: Gateway) -> None:
    """Where the models cannot be had, the answer is a problem that says so."""
    gateway.flows.status.error = Unavailable("the embedder is away", reason="EMBEDDER_UNAVAILABLE")
    answer = await gateway.client.get("/v1/models")
    assert (answer.status_code, answer.json()["reason"]) == (503, "EMBEDDER_UNAVAILABLE")


@pytest.mark.parametrize("path", ["/v1/status", "/v1/models"])
async def test_unknown_arguments_are_refused(gateway: Gateway, path: str) -> None:
    """What is asked for beyond what there is, is a mistake that is told."""
    answer = await gateway.client.get(path, params={"catalog": "demo"})
    assert (answer.status_code, answer.json()["field"]) == (400, "catalog")

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.rollout import callers, deployment, drill
from benchmarks.rollout.deployment import CONNECTION_AGE_S, Component
from benchmarks.rollout.names import Names
from benchmarks.rollout.pods import PORT
from tests.consistency.pictures import picture
from tests.engines import redis
from tests.engines.mongo.engine import MongoEngine
from vitrine.client.asynchronous import AsyncClient
from vitrine.client.operations import Timeouts

pytestmark = pytest.mark.faults

CALLS = 600
CALLS_PER_S = 20.0
# The machine of a test may stall.
READ_S = 60.0
PRODUCTS = 30
# Vectors of photos are remembered: few are asked for twice.
QUERIES = range(1_000, 3_000)


async def test_no_call_fails_while_everything_is_replaced(
    tmp_path: Path, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """Every pod is replaced by a new one and a replica of a shard is killed; no search fails or is late."""
    names = Names()
    with MongoEngine(tmp_path / "mongo") as engine, redis.running(tmp_path) as server, names.served():
        embedder = Component(
            "embedder.test",
            "tests.faults.pod_embedder",
            "EMBEDDER",
            {"MAX_CONNECTION_AGE_S": CONNECTION_AGE_S},
        )
        parts = deployment.components(
            names, embedder=embedder, ranker_models_dir=tmp_path, store_url=engine.url(), cache_url=server.url
        )
        with deployment.deployed(tmp_path, names, parts) as mesh:
            await mesh.start()
            async with AsyncClient(
                names.target("gateway.test", PORT), catalog="rollout", timeouts=Timeouts(read_s=READ_S)
            ) as client:
                photos = [picture(number) for number in range(PRODUCTS)]
                products = await drill.fill(client, photos)
                mix = callers.mixed(products, [picture(each) for each in QUERIES], [], photo_share=0.2)
                outcome = await drill.drill(mesh, client, mix, calls=CALLS, per_s=CALLS_PER_S, at_once=True)
    record_testsuite_property("rollout", json.dumps(outcome.figures()))
    assert outcome.failed == 0, outcome.figures()
    assert outcome.late == 0, outcome.figures()
    assert outcome.during.count >= CALLS

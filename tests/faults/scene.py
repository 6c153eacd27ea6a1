"""A whole deployment of pods on real stores, filled with products, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.rollout import callers, deployment, drill
from benchmarks.rollout.callers import Draw
from benchmarks.rollout.deployment import REPLICAS, Component, Deployment
from benchmarks.rollout.names import Names
from benchmarks.rollout.pods import PORT
from tests.consistency.pictures import picture
from tests.engines import redis
from tests.engines.mongo.engine import MongoEngine
from vitrine.client.asynchronous import AsyncClient
from vitrine.client.operations import Timeouts

CALLS_PER_S = 20.0
PRODUCTS = 20
# Vectors of photos are remembered: few are asked for twice.
QUERIES = range(1_000, 3_000)

# Shorter than the chart has them. A connection lives so long, give or take a tenth; then its caller asks DNS,
# two seconds after it did so last at the earliest, which may tell what was for so long. When a pod is told to
# end, everybody has known for a while that its address has gone.
_CONNECTION_AGE_S, _TTL_S, _PRE_STOP_S = 2.0, 1.0, 6.0

# The machine of a test may stall, which is no fault of the services.
_READ_S = 60.0
_PATIENT = {"EMBED_TIMEOUT_S": 60, "SHARD_TIMEOUT_S": 10}


@dataclass(frozen=True)
class Scene:
    """What is deployed, a client of its gateways, and the products that are there."""

    mesh: Deployment
    client: AsyncClient
    products: list[str]

    def searches(self, *, photo_share: float) -> Draw:
        """Searches by photos, of which there is such a share, and by products."""
        return callers.mixed(self.products, [picture(each) for each in QUERIES], [], photo_share=photo_share)


@asynccontextmanager
async def played(directory: Path, *, replicas: int = REPLICAS) -> AsyncIterator[Scene]:
    """All pods are ready, and all products are found, when this begins."""
    names = Names(ttl_s=_TTL_S)
    with MongoEngine(directory / "mongo") as engine, redis.running(directory) as server, names.served():
        embedder = Component(
            "embedder.test",
            "tests.faults.pod_embedder",
            "EMBEDDER",
            {"MAX_CONNECTION_AGE_S": _CONNECTION_AGE_S},
        )
        parts = [
            replace(
                component,
                replicas=replicas,
                settings={**component.settings, **(_PATIENT if component.service == "GATEWAY" else {})},
            )
            for component in deployment.components(
                names,
                embedder=embedder,
                ranker_models_dir=directory,
                store_url=engine.url(is_patient=True),
                cache_url=server.url,
                connection_age_s=_CONNECTION_AGE_S,
            )
        ]
        with deployment.deployed(directory, names, parts, pre_stop_s=_PRE_STOP_S) as mesh:
            await mesh.start()
            async with AsyncClient(
                names.target("gateway.test", PORT), catalog="pods", timeouts=Timeouts(read_s=_READ_S)
            ) as client:
                products = await drill.fill(client, [picture(number) for number in range(PRODUCTS)])
                yield Scene(mesh, client, products)

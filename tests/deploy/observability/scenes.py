"""A mesh under load that a Prometheus scrapes: for tests, and for the pictures of dashboards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.observability import rules
from tests.deploy.observability.prometheus import Prometheus, Target, prometheus, targets_of
from tests.deploy.observability.shards import indexed_shard
from tests.deploy.observability.traffic import CATALOG, Traffic
from tests.engines import redis
from tests.meshes import LiveMesh, eventually, free_targets, live_mesh

_ROUNDS = 3


@dataclass(frozen=True)
class Scene:
    """A mesh with a Redis under load, everything that can be scraped, and a Prometheus that does so."""

    mesh: LiveMesh
    targets: list[Target]
    prometheus: Prometheus
    traffic: Traffic


@contextmanager
def played(directory: Path, catalog: Path) -> Iterator[Scene]:
    """Everything has been scraped, every rule has recorded something, and the load goes on.

    `catalog` is a folder of products that is imported first.
    """
    (nobody,) = free_targets(1)
    with ExitStack() as stack:
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        cache = stack.enter_context(redis.running(directory))
        environment.setenv("VITRINE_GATEWAY_CACHE_URL", cache.url)
        for service in ("GATEWAY", "EMBEDDER", "RANKER", "VECTORSEARCH"):
            # Nobody takes the spans, which is counted.
            environment.setenv(f"VITRINE_{service}_OTLP_ENDPOINT", f"http://{nobody}")
            environment.setenv(f"VITRINE_{service}_TRACE_SAMPLE_RATIO", "1")
        environment.setenv("VITRINE_VECTORSEARCH_SNAPSHOT_INTERVAL_S", "2")
        large = stack.enter_context(indexed_shard(directory / "shard"))
        mesh = stack.enter_context(live_mesh(directory))
        targets = [*targets_of(mesh), large]
        documents = [rules.evaluated_each_second(document) for document in rules.documents()]
        watching = stack.enter_context(prometheus(directory / "prometheus", targets, documents))
        eventually(lambda: set(watching.targets()) == {"up"}, what="all targets are scraped")
        assert mesh.index(catalog, CATALOG)["failed"] == 0
        traffic = Traffic(mesh)
        stack.enter_context(traffic.running())
        eventually(lambda: traffic.rounds >= _ROUNDS, what="there is traffic")
        recorded = {rule["record"] for rule in rules.rules("record")}
        eventually(
            lambda: all(watching.query(name) for name in recorded),
            what="every recorded series has a value",
        )
        yield Scene(mesh, targets, watching, traffic)

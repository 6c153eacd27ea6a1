"""Several gateways on one store as real processes, with shards, a ranker and an embedder that is cheap."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.gateway.store import opening
from services.gateway.store.interface import Store
from services.mesh.channel import call, connect
from services.mesh.errors import VitrineError
from tests.consistency.calls import Gateway
from tests.consistency.pictures import DIGEST
from tests.consistency.processes import Forgetful, Mongo, Part, Process, Redis
from tests.engines import redis
from tests.engines.mongo.engine import MongoEngine
from tests.meshes import free_targets
from vitrine.v1 import status_pb2, status_pb2_grpc, vectorsearch_pb2, vectorsearch_pb2_grpc

SHARDS = 2
SETTLE_S = 300.0
_POLL_S = 0.05


@dataclass(frozen=True)
class Backend:
    """Where gateways keep what they share, and the servers behind it. `roles` are those of the gateways."""

    name: str
    roles: tuple[str, ...]
    store_url: str
    cache_url: str
    engines: tuple[Part, ...]


@contextmanager
def sqlite() -> Iterator[Backend]:
    """SQLite, and each gateway's memory."""
    yield Backend("sqlite", ("all", "api"), "", "", ())


@contextmanager
def mongodb(directory: Path) -> Iterator[Backend]:
    """MongoDB and Redis."""
    with ExitStack() as stack:
        engine = stack.enter_context(MongoEngine(directory / "mongo"))
        server = stack.enter_context(redis.running(directory))
        parts = (Mongo(engine), Redis(server))
        # To connect may take longer than it may where a store that is away is to be noticed at once.
        url = f"{engine.url()}&connectTimeoutMS=20000"
        yield Backend("mongodb", ("feed", "api", "api"), url, server.url, parts)


class Mesh:
    """Gateways on one store, the first of which serves the feed, and the shards that follow it."""

    def __init__(self, directory: Path, backend: Backend, embedder: Process, ranker: Process) -> None:
        self.backend = backend
        self.embedder = embedder
        self.ranker = ranker
        self._data_dir = directory / "gateway"
        targets = free_targets(len(backend.roles) + SHARDS)
        shards, gateways = targets[:SHARDS], targets[SHARDS:]
        settings = {
            "DATA_DIR": self._data_dir,
            "STORE_URL": backend.store_url,
            "CACHE_URL": backend.cache_url,
            "EMBEDDER": embedder.target,
            "RANKER": ranker.target,
            "SHARDS": ",".join(shards),
            "FEED_HEARTBEAT_S": 1,
            # A machine that stands still for some seconds is no fault of the services.
            "EMBED_TIMEOUT_S": 60,
            "RANK_TIMEOUT_S": 60,
            "SHARD_TIMEOUT_S": 60,
            "STORE_TIMEOUT_S": 60,
            "HTTP_PORT": 0,
            "METRICS_PORT": 0,
        }
        self.gateways = [
            Process(
                f"gateway-{number}",
                "services.gateway",
                target,
                directory / f"gateway-{number}.log",
                environment=_environment(
                    "GATEWAY", settings | {"PORT": target.rpartition(":")[2], "ROLE": role}
                ),
            )
            for number, (role, target) in enumerate(zip(backend.roles, gateways, strict=True))
        ]
        self.shards = [
            Forgetful(
                f"shard-{number}",
                target,
                directory / f"shard-{number}.log",
                directory / f"shard-{number}",
                _environment(
                    "VECTORSEARCH",
                    {
                        "PORT": target.rpartition(":")[2],
                        "METRICS_PORT": 0,
                        "DATA_DIR": directory / f"shard-{number}",
                        "FEED_TARGET": gateways[0],
                        "FEED_BACKOFF_MAX_S": 0.5,
                        "SEARCH_THREADS": 1,
                        "SNAPSHOT_INTERVAL_S": 2,
                        "SHARD": number,
                        "SHARDS": SHARDS,
                    },
                ),
            )
            for number, target in enumerate(shards)
        ]

    @property
    def api(self) -> list[Process]:
        """The gateways that answer callers."""
        return [
            gateway for gateway, role in zip(self.gateways, self.backend.roles, strict=True) if role != "feed"
        ]

    @property
    def parts(self) -> list[Part]:
        """All that can be killed."""
        return [*self.gateways, *self.shards, *self.backend.engines]

    def launch(self) -> None:
        """Start all processes, and wait for none."""
        for process in (*self.shards, *self.gateways):
            process.launch()

    async def ready(self, *, besides: Collection[Process] = ()) -> None:
        """Return when all processes serve but for some, and gateways reach the others."""
        processes = (self.embedder, self.ranker, *self.shards, *self.gateways)
        await asyncio.gather(*(process.ready() for process in processes if process not in besides))
        await asyncio.gather(*(_reaches_others(process) for process in self.api if process not in besides))

    def end(self) -> None:
        """Kill all processes."""
        for process in (*self.gateways, *self.shards):
            process.end()

    @asynccontextmanager
    async def callers(self) -> AsyncIterator[list[Gateway]]:
        """A caller of each gateway that answers callers."""
        async with AsyncExitStack() as stack:
            yield [Gateway(await stack.enter_async_context(connect(process.target))) for process in self.api]

    @asynccontextmanager
    async def store(self) -> AsyncIterator[Store]:
        """The store of catalogues, as another gateway would open it."""
        async with opening.opened(self.backend.store_url, self._data_dir) as stores:
            yield stores.catalog

    @asynccontextmanager
    async def shard_stubs(self) -> AsyncIterator[list[vectorsearch_pb2_grpc.VectorSearchServiceAsyncStub]]:
        """Stubs of the shards, in order."""
        async with AsyncExitStack() as stack:
            yield [
                vectorsearch_pb2_grpc.VectorSearchServiceStub(
                    await stack.enter_async_context(connect(process.target))
                )
                for process in self.shards
            ]

    async def settle(self, *, besides: Collection[Process] = ()) -> int:
        """Return when every process serves and every shard is at the head of the log: the head."""
        await self.ready(besides=besides)
        give_up = time.monotonic() + SETTLE_S
        async with self.store() as store, self.shard_stubs() as stubs:
            while True:
                head = (await store.bounds()).head
                revisions = [await _revision(stub) for stub in stubs]
                if await store.applied() == head and revisions == [head] * len(stubs):
                    return head
                assert time.monotonic() < give_up, f"the shards stay at {revisions}, the log is at {head}"
                await asyncio.sleep(_POLL_S)


async def _reaches_others(gateway: Process) -> None:
    """Return when a gateway has its connections: those that were lost come back later than the services."""
    give_up = time.monotonic() + SETTLE_S
    async with connect(gateway.target) as channel:
        stub: status_pb2_grpc.StatusServiceAsyncStub = status_pb2_grpc.StatusServiceStub(channel)
        while not await _is_whole(stub):
            assert time.monotonic() < give_up, f"{gateway.name} does not reach all others"
            await asyncio.sleep(_POLL_S)


async def _is_whole(gateway: status_pb2_grpc.StatusServiceAsyncStub) -> bool:
    try:
        # What it tells of the embedder's health may be a second old.
        await call(gateway.GetModels, status_pb2.GetModelsRequest(), timeout_s=30)
        status = await call(gateway.GetStatus, status_pb2.GetStatusRequest(), timeout_s=30)
    except VitrineError:
        return False
    return all(each.available for each in status.dependencies) and all(
        each.state == status_pb2.REPLICA_STATE_CAUGHT_UP for each in status.replicas
    )


async def _revision(stub: vectorsearch_pb2_grpc.VectorSearchServiceAsyncStub) -> int:
    try:
        status = await call(stub.GetShardStatus, vectorsearch_pb2.GetShardStatusRequest(), timeout_s=30)
    except VitrineError:
        return -1
    return status.revision if status.caught_up and status.following else -1


def _environment(service: str, settings: dict[str, object]) -> dict[str, str]:
    return {f"VITRINE_{service}_{key}": str(value) for key, value in settings.items()}


@contextmanager
def helpers(directory: Path) -> Iterator[tuple[Process, Process]]:
    """An embedder and a ranker, which keep nothing: any number of meshes may share them."""
    embedder_target, ranker_target = free_targets(2)
    embedder = Process(
        "embedder",
        "tests.consistency.embedder",
        embedder_target,
        directory / "embedder.log",
        arguments=[embedder_target.rpartition(":")[2], "", DIGEST],
    )
    ranker = Process(
        "ranker",
        "services.ranker",
        ranker_target,
        directory / "ranker.log",
        environment=_environment(
            "RANKER", {"PORT": ranker_target.rpartition(":")[2], "METRICS_PORT": 0, "MODELS_DIR": directory}
        ),
    )
    try:
        embedder.launch()
        ranker.launch()
        yield embedder, ranker
    finally:
        embedder.end()
        ranker.end()


@contextmanager
def running(directory: Path, backend: Backend, embedder: Process, ranker: Process) -> Iterator[Mesh]:
    """A mesh that has been started, though it may not serve yet."""
    directory.mkdir(parents=True, exist_ok=True)
    mesh = Mesh(directory, backend, embedder, ranker)
    try:
        mesh.launch()
        yield mesh
    finally:
        mesh.end()


def others(gateways: Sequence[Process], one: Process) -> list[Process]:
    """All but one."""
    return [gateway for gateway in gateways if gateway is not one]

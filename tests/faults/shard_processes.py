"""Shards as real processes, their feed and their client in this one, callers whose answers are checked."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.gateway.candidates import visual_scores
from services.gateway.feed import FeedFlow
from services.gateway.replicas import Replica, State
from services.gateway.server import _Feed
from services.gateway.shards import Found, Shards
from services.gateway.store.database import SqliteDatabase
from services.gateway.store.interface import ProductChange
from services.gateway.store.log import ChangeLog, Write
from services.gateway.store.sqlite import SqliteStore
from services.mesh import deadline, vectors
from services.mesh.buckets import BUCKETS, bucket_of, shard_of
from services.mesh.errors import Unavailable
from tests.gateway.fakes import hosted
from tests.meshes import PATIENCE_S, free_targets
from vitrine.v1 import catalog_pb2, catalog_pb2_grpc, vectorsearch_pb2

SPACE = "clip"
DIMENSION = 16
LIMIT = 10
CALLERS = 4
TIMEOUT_S = 60.0

_PAUSE_S = 0.01
_TOLERANCE = 1e-5

Vector = npt.NDArray[np.float32]


def _unit(seed: int) -> Vector:
    vector = np.random.default_rng(seed).normal(size=DIMENSION)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def _bucket_of(number: int) -> int:
    return bucket_of("shop", f"p{number}")


def free_replicas(shards: int, replicas: int) -> list[list[str]]:
    """Addresses on loopback that nobody listens on: of each shard's replicas."""
    targets = free_targets(shards * replicas)
    return [targets[start : start + replicas] for start in range(0, len(targets), replicas)]


class Corpus:
    """The products written so far, `p0`, `p1`..., and the revision of each: what the shards should hold."""

    def __init__(self) -> None:
        self.matrix = np.zeros((0, DIMENSION), np.float32)
        self.revisions = np.zeros(0)
        self._buckets = np.zeros(0, np.int64)

    def begin(self, count: int) -> range:
        """The numbers of so many new products that are about to be written."""
        numbers = range(len(self.revisions), len(self.revisions) + count)
        self.matrix = np.concatenate([self.matrix, np.stack([_unit(number) for number in numbers])])
        self.revisions = np.concatenate([self.revisions, np.full(count, np.inf)])
        self._buckets = np.concatenate([self._buckets, [_bucket_of(number) for number in numbers]])
        return numbers

    def is_owned_by(self, shards: Collection[int], total: int) -> npt.NDArray[np.bool_]:
        """Which products are on some of so many shards."""
        owners = np.array([shard_of(bucket, total) for bucket in range(BUCKETS)])
        return np.isin(owners[self._buckets], list(shards))

    def check(self, found: Found, query: Vector) -> None:
        """Hold an answer to be exactly what the shards that it does not call missing held at its revision."""
        numbers = [int(product_id[1:]) for product_id in found.candidates.product_ids]
        scores = visual_scores(found.candidates)
        assert len(set(numbers)) == len(numbers)
        every = self.matrix.astype(np.float64) @ query
        assert np.allclose(scores, every[numbers], atol=_TOLERANCE)
        whole = (self.revisions <= found.revision) & ~self.is_owned_by(found.missing, found.total)
        # Later products may be among them, and some of a shard that is on its way back.
        due = scores[whole[numbers]]
        expected = -np.sort(-every[whole])
        assert np.allclose(due, expected[: len(due)], atol=_TOLERANCE)
        assert len(numbers) == LIMIT or len(due) == len(expected)


@dataclass
class Answer:
    """How one call went: the shards that were missing, how many there were, which revision it reflects."""

    missing: list[int]
    total: int
    revision: int


@dataclass
class Load:
    """What callers have been answered so far, and how often each."""

    answers: list[Answer] = field(default_factory=list)
    ended: list[int] = field(default_factory=lambda: [0] * CALLERS)

    async def renewed(self) -> None:
        """Return when all calls that were in hand have ended: what comes was asked later."""
        before = list(self.ended)
        await until(lambda: all(now > was for now, was in zip(self.ended, before, strict=True)))

    async def more(self, count: int) -> list[Answer]:
        """The next so many answers."""
        start = len(self.answers)
        await until(lambda: len(self.answers) >= start + count)
        return self.answers[start : start + count]

    async def next(self, holds: Callable[[Answer], bool]) -> None:
        """Wait for an answer of a kind."""
        start = len(self.answers)
        await until(lambda: any(holds(answer) for answer in self.answers[start:]))


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - what is looked at knows no events
            await asyncio.sleep(_PAUSE_S)


class ShardProcesses:
    """Processes of shards, their feed, and a client of them."""

    def __init__(self, directory: Path, log: ChangeLog, feed_target: str, client: Shards) -> None:
        self.client = client
        self.log = log
        self.corpus = Corpus()
        self._directory = directory
        self._feed_target = feed_target
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    async def write(self, count: int) -> None:
        """Write so many new products in one entry of the log."""
        numbers = self.corpus.begin(count)
        revision = await self.log.write(Write(tuple(_change(number) for number in numbers), {}))
        for number in numbers:
            self.corpus.revisions[number] = revision

    def start(self, targets: Sequence[Sequence[str]], *, besides: Collection[str] = ()) -> None:
        """Start the processes of a set that do not run, on whatever data they had."""
        for shard, replicas in enumerate(targets):
            for target in replicas:
                if target not in self._processes and target not in besides:
                    self._processes[target] = self._started(target, shard, len(targets))

    def kill(self, target: str) -> None:
        """End a process without warning."""
        process = self._processes.pop(target)
        process.kill()
        process.wait()

    def lose_data(self, target: str) -> None:
        """Remove what a process that was killed has on its disk, if anything."""
        shutil.rmtree(self._data_dir(target), ignore_errors=True)

    def replica(self, target: str) -> Replica:
        """What the client knows of a process."""
        sets = self.client._sets._by_preference
        return next(each for one in sets for each in one.replicas if each.target == target)

    def is_ready(self, *targets: str) -> bool:
        """Whether the client knows all of these to have caught up."""
        return all(self.replica(target).state is State.CAUGHT_UP for target in targets)

    @asynccontextmanager
    async def load(self) -> AsyncIterator[Load]:
        """Callers who search and ask for products without a pause; a wrong answer fails the test."""
        load = Load()
        async with asyncio.TaskGroup() as group:
            callers = [group.create_task(self._call(load, caller)) for caller in range(CALLERS)]
            yield load
            for caller in callers:
                caller.cancel()

    def holds_everything(self, targets: Sequence[Sequence[str]]) -> bool:
        """Whether the client knows all of these to be at the head of the log."""
        replicas = [self.replica(target) for one in targets for target in one]
        return all(each.state is State.CAUGHT_UP and each.revision >= self.log.head for each in replicas)

    def close(self) -> None:
        """End all processes."""
        for target in list(self._processes):
            self.kill(target)

    async def _call(self, load: Load, caller: int) -> None:
        chance = random.Random(caller)
        while True:
            await asyncio.sleep(_PAUSE_S)
            with deadline.within(TIMEOUT_S):
                ask = self._product if chance.random() < 0.25 else self._search
                load.answers.append(await ask(chance))
                load.ended[caller] += 1

    async def _search(self, chance: random.Random) -> Answer:
        query = _unit(chance.randrange(1_000_000, 2_000_000))
        request = vectorsearch_pb2.SearchVectorsRequest(
            catalog="shop",
            generation="g1",
            limit=LIMIT,
            queries=[
                vectorsearch_pb2.SpaceQuery(
                    vector=vectors.encode(query, space=SPACE, model_digest="d1"), weight=1
                )
            ],
            min_revision=self.log.head if chance.random() < 0.5 else 0,
        )
        found = await self.client.search(request)
        assert found.revision >= request.min_revision
        self.corpus.check(found, query)
        return Answer(found.missing, found.total, found.revision)

    async def _product(self, chance: random.Random) -> Answer:
        number = chance.randrange(len(self.corpus.revisions))
        product_id, head = f"p{number}", self.log.head
        total = len(self.client._sets.in_use.shards)
        # One that is just being written need not be there yet.
        if self.corpus.revisions[number] > head:
            return Answer([], total, head)
        request = vectorsearch_pb2.GetVectorsRequest(
            catalog="shop", generation="g1", product_ids=[product_id], min_revision=head
        )
        try:
            found = await self.client.vectors(request)
        except Unavailable:
            return Answer([shard_of(_bucket_of(number), total)], total, head)
        [photo] = found[product_id].photos
        held = vectors.decode(photo.vectors[0], field="vector")
        assert np.allclose(held, self.corpus.matrix[number], atol=_TOLERANCE)
        return Answer([], total, head)

    def _data_dir(self, target: str) -> Path:
        return self._directory / target.rpartition(":")[2]

    def _started(self, target: str, shard: int, shards: int) -> subprocess.Popen[bytes]:
        host, _, port = target.rpartition(":")
        settings = {
            "HOST": host,
            "PORT": port,
            "METRICS_PORT": 0,
            "DATA_DIR": self._data_dir(target),
            "FEED_TARGET": self._feed_target,
            "FEED_BACKOFF_MAX_S": 0.5,
            "SEARCH_THREADS": 1,
            "SHARD": shard,
            "SHARDS": shards,
        }
        with (self._directory / f"{port}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "services.vectorsearch"],
                env=os.environ
                | {f"VITRINE_VECTORSEARCH_{key}": str(value) for key, value in settings.items()},
                stdout=log,
                stderr=log,
            )


def _change(number: int) -> ProductChange:
    rows = catalog_pb2.ProductRows(generation="g1")
    vector = vectors.encode(_unit(number), space=SPACE, model_digest="d1")
    rows.photos.add(photo_id="front", vectors=[vector])
    product = catalog_pb2.Product(name=f"catalogs/shop/products/p{number}")
    kept = {"g1": rows.SerializeToString()}
    return ProductChange("shop", f"p{number}", product.SerializeToString(), kept, 1)


@asynccontextmanager
async def shard_processes(
    directory: Path, targets: Sequence[Sequence[str]], next_targets: Sequence[Sequence[str]] = ()
) -> AsyncIterator[ShardProcesses]:
    """A log and its feed in this process, and a client of shards that are yet to be started."""

    def failed() -> None:
        raise AssertionError("the log's writer, or the watch over the shards, failed")

    async with AsyncExitStack() as stack:
        store = SqliteStore(await SqliteDatabase.open(directory / "catalog.db"))
        stack.push_async_callback(store.close)
        log = ChangeLog(store, keep_entries=100_000)
        await log.start()
        await stack.enter_async_context(log.running(failed))
        flow = FeedFlow(store, log, heartbeat_s=0.5)
        service = catalog_pb2.DESCRIPTOR.services_by_name["FeedService"]
        feed_target = await stack.enter_async_context(
            hosted(
                "gateway",
                service,
                lambda server: catalog_pb2_grpc.add_FeedServiceServicer_to_server(_Feed(flow), server),
            )
        )
        client = Shards(targets, timeout_s=TIMEOUT_S / 4, next_targets=next_targets, head=lambda: log.head)
        stack.push_async_callback(client.close)
        await stack.enter_async_context(client.watched(failed))
        made = ShardProcesses(directory, log, feed_target, client)
        stack.callback(made.close)
        yield made

"""Processes on loopback that are killed without warning and started again."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.mesh.channel import connect
from tests.engines.mongo.engine import MongoEngine
from tests.engines.redis import RedisServer

READY_TIMEOUT_S = 300.0
_POLL_S = 0.05


class Part(Protocol):
    """Something that can be killed and started again."""

    name: str

    async def kill(self) -> None:
        """End it as kill -9 does."""

    async def start(self) -> None:
        """Start it on what it had; it is at work when this returns."""


class Process:
    """A Python module that serves gRPC at `target`, with what it logs in `log`."""

    def __init__(
        self,
        name: str,
        module: str,
        target: str,
        log: Path,
        *,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.target = target
        self.log = log
        self.arguments = list(arguments)
        self._module = module
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether there is a process, ready or not."""
        return self._process is not None and self._process.poll() is None

    def launch(self) -> None:
        """Start the process, and do not wait for it."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module, *self.arguments],
                env=os.environ | self._environment,
                stdout=log,
                stderr=log,
            )

    async def start(self) -> None:
        """See Part."""
        self.launch()
        await self.ready()

    async def ready(self) -> None:
        """Return when it serves. One that ends by itself is started again, as a supervisor would."""
        give_up = time.monotonic() + READY_TIMEOUT_S
        async with connect(self.target) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            while not await _serves(health):
                assert time.monotonic() < give_up, f"{self.name} does not start: see {self.log}"
                await asyncio.sleep(_POLL_S)
                if not self.is_running:
                    await asyncio.sleep(10 * _POLL_S)
                    self.launch()

    async def kill(self) -> None:
        """See Part."""
        self.end()

    async def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        assert self._process is not None
        self._process.terminate()
        status = await asyncio.to_thread(self._process.wait, READY_TIMEOUT_S)
        assert status == 0, f"{self.name} ended with {status}: {self.log.read_text()[-4000:]}"

    def end(self) -> None:
        """Kill it if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


async def _serves(health: Any) -> bool:
    try:
        answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=30)
    except grpc.aio.AioRpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


class Forgetful(Process):
    """A shard, which may lose its disk when it is killed: `loses` decides."""

    def __init__(
        self, name: str, target: str, log: Path, data_dir: Path, environment: Mapping[str, str]
    ) -> None:
        super().__init__(name, "services.vectorsearch", target, log, environment=environment)
        self._data_dir = data_dir
        self.loses: Callable[[], bool] = lambda: False

    async def kill(self) -> None:
        """See Part."""
        self.end()
        if self.loses():
            shutil.rmtree(self._data_dir, ignore_errors=True)


class Mongo:
    """The MongoDB engine as a part."""

    name = "mongodb"

    def __init__(self, engine: MongoEngine) -> None:
        self._engine = engine

    async def kill(self) -> None:
        """See Part."""
        self._engine.kill()

    async def start(self) -> None:
        """See Part."""
        await asyncio.to_thread(self._engine.start)


class Redis:
    """A Redis server as a part."""

    name = "redis"

    def __init__(self, server: RedisServer) -> None:
        self._server = server

    async def kill(self) -> None:
        """See Part."""
        self._server.kill()

    async def start(self) -> None:
        """See Part."""
        await asyncio.to_thread(self._server.start)

"""The servers that are measured: real processes, started for the run and ended with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.embedder.callers import Failed, HttpCaller, http_get
from services.mesh.channel import connect
from vitrine.supervisor import ports

HOST = "127.0.0.1"

# Below those that the kernel gives to who connects.
_PORTS = 20_000, 31_000

_ROOT = Path(__file__).resolve().parents[2]
_START_TIMEOUT_S = 180.0
_STOP_TIMEOUT_S = 30.0
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is ready. `metrics_port` is 0 where it has none."""

    process: psutil.Popen
    port: int
    metrics_port: int = 0

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{HOST}:{self.port}"

    @property
    def rss_mb(self) -> float:
        """Resident memory of the process and its children, in megabytes."""
        family = [self.process, *self.process.children(recursive=True)]
        return round(sum(each.memory_info().rss for each in family) / 1e6, 1)

    def metric(self, name: str) -> float:
        """The sum over all labels of what it reports as `name`, 0 where it reports no such thing."""
        with urllib.request.urlopen(f"http://{HOST}:{self.metrics_port}/metrics", timeout=10) as response:
            text = response.read().decode()
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        return sum(sample.value for sample in samples if sample.name == name)


@contextlib.asynccontextmanager
async def embedder(
    models_dir: Path, log: Path, *, module: Sequence[str] = ("services.embedder",)
) -> AsyncIterator[Server]:
    """The embedder with its default settings; `module` and its first arguments can name another main."""
    port, metrics_port = free_port(), free_port()
    flags = {"--port": port, "--metrics-port": metrics_port, "--models-dir": models_dir}
    arguments = [*module, *(str(word) for flag in flags.items() for word in flag)]
    async with running(arguments, log, {}, lambda: serves_grpc(port)) as process:
        yield Server(process, port, metrics_port)


@contextlib.asynccontextmanager
async def peer(
    name: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str]
) -> AsyncIterator[Server]:
    """The server `benchmarks.peers.NAME`, which says at /health when it is ready."""
    port = free_port()
    command = [f"benchmarks.peers.{name}", "--port", str(port), *arguments]
    async with running(command, log, environment, lambda: _serves_http(port)) as process:
        yield Server(process, port)


def free_port() -> int:
    """A port that nobody listens on, nor gets from the kernel before it is used."""
    while True:
        port = random.randrange(*_PORTS)
        if ports.is_free(port, host=HOST):
            return port


@contextlib.asynccontextmanager
async def running(
    arguments: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    is_ready: Callable[[], Awaitable[bool]],
    *,
    timeout_s: float = _START_TIMEOUT_S,
) -> AsyncIterator[psutil.Popen]:
    """`python -m ARGUMENTS`, from when it is ready; ended with all that it started.

    Raises RuntimeError with what it told when it ends, or is not ready in time.
    """
    with log.open("w", encoding="utf-8") as file:
        # A session of its own, so that workers which a server leaves behind can be ended with it.
        process = psutil.Popen(
            [sys.executable, "-m", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            cwd=_ROOT,
            start_new_session=True,
        )
    try:
        give_up = time.monotonic() + timeout_s
        while not await is_ready():
            if process.poll() is not None or time.monotonic() > give_up:
                told = await asyncio.to_thread(log.read_text)
                raise RuntimeError(f"{arguments[0]} did not start:\n{told[-2000:]}")
            await asyncio.sleep(_POLL_S)
        yield process
    finally:
        await asyncio.to_thread(_stop, process)


def _stop(process: psutil.Popen) -> None:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
        process.terminate()
        process.wait(_STOP_TIMEOUT_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(_STOP_TIMEOUT_S)


async def serves_grpc(port: int) -> bool:
    """Whether a gRPC server on this machine is there and says that it is healthy."""
    channel = connect(f"{HOST}:{port}")
    try:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=1)  # type: ignore[attr-defined]
    except grpc.aio.AioRpcError:
        return False
    finally:
        await channel.close()
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def _serves_http(port: int) -> bool:
    caller = HttpCaller(HOST, port)
    try:
        await caller.fetch(http_get("/health"), 1.0)
    except Failed:
        return False
    finally:
        caller.close()
    return True

"""Processes that stand for pods: each has an address of its own on loopback, and the same ports."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import grpc.aio
from grpc_health.v1 import health_pb2
from prometheus_client.parser import text_string_to_metric_families

from services.mesh.channel import connect

PORT = 50051
METRICS_PORT = 51051
READY_TIMEOUT_S = 600.0

_POLL_S = 0.1
# A machine may stand still for a while.
_PROBE_TIMEOUT_S = 60.0


class Addresses:
    """Addresses of a part of 127.0.0.0/8 that was drawn by lot, so that other runs have others."""

    def __init__(self) -> None:
        self._block = f"127.{random.randint(1, 254)}.{random.randint(0, 255)}"
        self._given = 0

    def next(self) -> str:
        """One that was not given before."""
        self._given += 1
        return f"{self._block}.{self._given}"


class Pod:
    """A process of a Python module at `address`, which logs to `log`; `service` names its settings."""

    def __init__(
        self, module: str, service: str, address: str, log: Path, settings: Mapping[str, object]
    ) -> None:
        self.address = address
        self.log = log
        own = {"HOST": address, "PORT": PORT, "METRICS_PORT": METRICS_PORT}
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module],
                env=os.environ
                | {f"VITRINE_{service}_{key}": str(value) for key, value in {**settings, **own}.items()},
                stdout=file,
                stderr=file,
            )

    async def ready(self) -> None:
        """Return when it can do its work; RuntimeError when it ends or that takes too long."""
        give_up = time.monotonic() + READY_TIMEOUT_S
        async with connect(f"{self.address}:{PORT}") as channel:
            check: grpc.aio.UnaryUnaryMultiCallable[
                health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
            ] = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            while not await _serves(check):
                if self._process.poll() is not None or time.monotonic() > give_up:
                    raise RuntimeError(f"a pod does not start: see {self.log}")
                await asyncio.sleep(_POLL_S)

    def requests(self, method: str) -> float:
        """How many calls of a method it has begun, by its own metrics."""
        with urllib.request.urlopen(
            f"http://{self.address}:{METRICS_PORT}/metrics", timeout=_PROBE_TIMEOUT_S
        ) as page:
            families = text_string_to_metric_families(page.read().decode())
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == "grpc_server_started_total" and sample.labels["grpc_method"] == method
        )

    async def stop(self) -> None:
        """Tell it to end (SIGTERM) and wait until it has; RuntimeError when it ends with an error."""
        self._process.terminate()
        status = await asyncio.to_thread(self._process.wait, READY_TIMEOUT_S)
        if status != 0:
            raise RuntimeError(f"a pod ended with status {status}: see {self.log}")

    def kill(self) -> None:
        """End it without warning (SIGKILL)."""
        self._process.kill()
        self._process.wait()


async def _serves(
    check: grpc.aio.UnaryUnaryMultiCallable[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse],
) -> bool:
    try:
        answer = await check(health_pb2.HealthCheckRequest(), timeout=_PROBE_TIMEOUT_S)
    except grpc.aio.AioRpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

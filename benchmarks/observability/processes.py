"""Meshes side by side, of which each is one arm of the comparison."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.observability.plan import SAMPLE_RATIO, Arm
from services.mesh.channel import call, connect
from services.mesh.errors import VitrineError
from vitrine.supervisor.layout import Layout

CATALOG = "bench"

_PORT_BASE, _HTTP_PORT, _STEP = 58251, 58380, 40
_START_TIMEOUT_S = 300.0
_STOP_TIMEOUT_S = 60.0
_DRAIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Usage:
    """User and system time of each service, by name, and the time that passed meanwhile; seconds."""

    wall_s: float
    cpu_s: Mapping[str, float]

    def since(self, earlier: Usage) -> Usage:
        """What was used after an earlier look."""
        used_s = {name: spent_s - earlier.cpu_s[name] for name, spent_s in self.cpu_s.items()}
        return Usage(self.wall_s - earlier.wall_s, used_s)

    def per_s(self, name: str) -> float:
        """Seconds of a service for each that passed."""
        return self.cpu_s[name] / self.wall_s


@dataclass(frozen=True, slots=True)
class Mesh:
    """The running services of an arm, by name."""

    arm: Arm
    layout: Layout
    services: Mapping[str, psutil.Popen]

    def usage(self) -> Usage:
        """What each service has used so far."""
        found = {}
        for name, process in self.services.items():
            times = process.cpu_times()
            found[name] = float(times.user + times.system)
        return Usage(time.monotonic(), found)

    async def ready(self) -> None:
        """Return once all can do their work; ends the program when that does not come to pass."""
        give_up_s = time.monotonic() + _START_TIMEOUT_S
        for name, address in self.layout.addresses.items():
            async with connect(address) as channel:
                health = health_pb2_grpc.HealthStub(channel)
                while not await _is_serving(health):
                    if self.services[name].poll() is not None or time.monotonic() > give_up_s:
                        raise SystemExit(f"{name} of the arm {self.arm.name} did not start")
                    await asyncio.sleep(0.5)


async def _is_serving(health: health_pb2_grpc.HealthStub) -> bool:
    request = health_pb2.HealthCheckRequest()
    try:
        answer = await call(health.Check, request, timeout_s=5)  # type: ignore[attr-defined]  # The stub of another package has no types.
    except VitrineError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@contextlib.contextmanager
def running(arm: Arm, number: int, *, data_dir: Path, models_dir: Path, endpoint: str) -> Iterator[Mesh]:
    """Start the services of an arm on ports of their own, the `number`th; stop them at the end."""
    layout = Layout(_PORT_BASE + _STEP * number, _HTTP_PORT + number)
    with contextlib.ExitStack() as stack:
        services = {}
        for service in layout.services(data_dir, models_dir, drain_s=_DRAIN_S):
            log = stack.enter_context((data_dir / f"{service.name}.log").open("wb"))
            environment = os.environ | dict(service.environment) | _environment(service.name, arm, endpoint)
            process = psutil.Popen(service.command, stdout=log, stderr=log, env=environment)
            stack.callback(_end, process)
            services[service.name] = process
        yield Mesh(arm, layout, services)


def _environment(service: str, arm: Arm, endpoint: str) -> dict[str, str]:
    prefix = f"VITRINE_{service.partition('-')[0].upper()}_"
    found = {} if arm.is_scraped else {f"{prefix}METRICS_PORT": "0"}
    if arm.is_traced:
        found |= {f"{prefix}OTLP_ENDPOINT": endpoint, f"{prefix}TRACE_SAMPLE_RATIO": str(SAMPLE_RATIO)}
    return found


def _end(process: psutil.Popen) -> None:
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except psutil.TimeoutExpired:
        process.kill()


def index(catalog_dir: Path, server: str) -> None:
    """Index a catalogue folder."""
    command = [sys.executable, "-m", "vitrine", "index", str(catalog_dir), "--catalog", CATALOG]
    subprocess.run([*command, "--server", server], check=True, stdout=subprocess.PIPE)


def copied(source: Path, target: Path) -> Path:
    """Data of its own for an arm, the same as that of the others."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target

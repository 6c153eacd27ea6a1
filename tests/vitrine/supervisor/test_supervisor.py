from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys

import pytest

from services.mesh.errors import FailedPrecondition
from tests.vitrine.lines import Lines
from vitrine.supervisor.child import Policy
from vitrine.supervisor.layout import Service
from vitrine.supervisor.supervisor import supervise

QUICK = Policy(poll_s=0.02, first_backoff_s=0.02, max_backoff_s=0.1, drain_s=2.0)

# A gRPC server with nothing but health, which ends on SIGTERM and says so.
_HEALTHY = """
import signal, sys, threading
from concurrent.futures import ThreadPoolExecutor
import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
service = health.HealthServicer()
service.set("", health_pb2.HealthCheckResponse.SERVING)
health_pb2_grpc.add_HealthServicer_to_server(service, server)
server.add_insecure_port(sys.argv[1])
server.start()
ended = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: ended.set())
ended.wait()
print("drained", flush=True)
server.stop(0).wait()
"""


def _ready(lines: Lines, name: str) -> list[int]:
    """The process ids with which a service became ready."""
    return [event["pid"] for event in lines.events if event["event"] == "ready" and event["child"] == name]


def _service(name: str) -> Service:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    return Service(name, (sys.executable, "-c", _HEALTHY, address), {"GRPC_VERBOSITY": "ERROR"}, address)


async def test_services_become_ready_come_back_and_are_drained() -> None:
    """All serve before it says ready; one that is killed is back; SIGTERM drains the front first."""
    lines, ready = Lines(), asyncio.Event()
    running = asyncio.create_task(
        supervise([_service("back"), _service("front")], lines, on_ready=ready.set, policy=QUICK)
    )
    await asyncio.wait_for(ready.wait(), 30)
    assert _ready(lines, "front")
    assert _ready(lines, "back")
    os.kill(_ready(lines, "back")[0], signal.SIGKILL)
    async with asyncio.timeout(30):
        while len(_ready(lines, "back")) < 2:  # noqa: ASYNC110 - another process: it can only be asked
            await asyncio.sleep(0.02)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(running, 30)
    drained = [service for service, line in lines.lines if line == "drained"]
    assert drained == ["front", "back"]


async def test_a_service_that_cannot_start_ends_the_others() -> None:
    """One that never starts fails the mesh, and nothing is left running."""
    lines = Lines()
    broken = Service("broken", (sys.executable, "-c", "raise SystemExit('broken it is')"), {}, "127.0.0.1:1")
    with pytest.raises(FailedPrecondition, match="broken it is"):
        await asyncio.wait_for(
            supervise([broken, _service("front")], lines, on_ready=lambda: None, policy=QUICK), 60
        )
    for pid in _ready(lines, "front"):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

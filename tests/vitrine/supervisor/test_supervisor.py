from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from services.mesh.errors import FailedPrecondition
from tests.ports import reserved
from tests.vitrine.conftest import TIMEOUT_S
from tests.vitrine.lines import Lines
from vitrine.supervisor.child import Policy
from vitrine.supervisor.layout import Service
from vitrine.supervisor.supervisor import supervise

QUICK = Policy(poll_s=0.02, first_backoff_s=0.02, max_backoff_s=0.1, drain_s=TIMEOUT_S)

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
ended = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: ended.set())
server.start()
ended.wait()
print("drained", flush=True)
server.stop(0).wait()
"""


def _pids(lines: Lines, event: str, name: str) -> list[int]:
    """The process ids with which a service was `started`, or became `ready`."""
    return [each["pid"] for each in lines.events if each["event"] == event and each["child"] == name]


@contextmanager
def _service(name: str) -> Iterator[Service]:
    with reserved() as port:
        address = f"127.0.0.1:{port}"
        program = (sys.executable, "-c", _HEALTHY, address)
        yield Service(name, program, {"GRPC_VERBOSITY": "ERROR"}, address)


async def test_services_become_ready_come_back_and_are_drained() -> None:
    """All serve before it says ready; one that is killed is back; SIGTERM drains the front first."""
    lines, ready = Lines(), asyncio.Event()
    with _service("back") as back, _service("front") as front:
        running = asyncio.create_task(supervise([back, front], lines, on_ready=ready.set, policy=QUICK))
        await asyncio.wait_for(ready.wait(), TIMEOUT_S)
        assert _pids(lines, "ready", "front")
        os.kill(_pids(lines, "ready", "back")[0], signal.SIGKILL)
        async with asyncio.timeout(TIMEOUT_S):
            while len(_pids(lines, "ready", "back")) < 2:  # noqa: ASYNC110 - another process: it can only be asked
                await asyncio.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(running, TIMEOUT_S)
    drained = [service for service, line in lines.lines if line == "drained"]
    assert drained == ["front", "back"]


async def test_a_service_that_cannot_start_ends_the_others() -> None:
    """One that never starts fails the mesh, and nothing is left running."""
    lines = Lines()
    broken = Service("broken", (sys.executable, "-c", "raise SystemExit('broken it is')"), {}, "127.0.0.1:1")
    with _service("front") as front, pytest.raises(FailedPrecondition, match="broken it is"):
        await asyncio.wait_for(
            supervise([broken, front], lines, on_ready=lambda: None, policy=QUICK), TIMEOUT_S
        )
    assert _pids(lines, "started", "front")
    for pid in _pids(lines, "started", "front"):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

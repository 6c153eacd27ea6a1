"""A whole mesh of real processes, started by `vitrine up`, and the command line against it."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from tests.ports import keep
from vitrine import Client
from vitrine.client.operations import Timeouts
from vitrine.supervisor import ports
from vitrine.supervisor.layout import Layout
from vitrine.v1 import vectorsearch_pb2, vectorsearch_pb2_grpc

SHARDS = 2
# Machines stall: what has not come by then does not come.
PATIENCE_S = 600.0
# That a machine stands still for some seconds is no fault of the services. The first of these is what a shard
# costs that really does not answer.
_PATIENT = {
    "VITRINE_GATEWAY_SHARD_TIMEOUT_S": "6",
    "VITRINE_GATEWAY_EMBED_TIMEOUT_S": "60",
    "VITRINE_GATEWAY_RANK_TIMEOUT_S": "60",
    "VITRINE_GATEWAY_STORE_TIMEOUT_S": "60",
}
# Below the ports that the kernel hands out to clients, and far from the defaults.
_FIRST_PORT, _LAST_PORT, _HTTP = 20_000, 31_000, 500
_POLL_S = 0.05


def command(*arguments: object) -> list[str]:
    """The command line that runs `vitrine` in this interpreter."""
    return [sys.executable, "-m", "vitrine", *(str(argument) for argument in arguments)]


def free_layout() -> Layout:
    """A mesh's ports, all of them free."""
    while True:
        base = _drawn_port() // 20 * 20
        layout = Layout(base, base + _HTTP, SHARDS)
        if keep(layout.ports):
            return layout


def free_targets(count: int) -> list[str]:
    """Addresses on loopback that nobody listens on."""
    while True:
        first = _drawn_port()
        numbers = range(first, first + count)
        if keep(numbers):
            return [f"127.0.0.1:{number}" for number in numbers]


def _drawn_port() -> int:
    # Not by `random`, which hypothesis seeds alike in all processes.
    return _FIRST_PORT + secrets.randbelow(_LAST_PORT - _FIRST_PORT)


def eventually(holds: Callable[[], bool], *, timeout_s: float = PATIENCE_S, what: str) -> None:
    """Wait until `holds` says so; an AssertionError when it has not within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(_POLL_S)


@dataclass(frozen=True)
class LiveMesh:
    """A running mesh: where it listens and where it logs."""

    layout: Layout
    log_dir: Path
    process: subprocess.Popen[str]

    def client(self, catalog: str, *, read_s: float = 60.0) -> Client:
        """A client of one catalogue; reads have a deadline of `read_s`."""
        return Client(self.layout.gateway, catalog=catalog, timeouts=Timeouts(read_s=read_s))

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run a `vitrine` command against this mesh to its end."""
        return subprocess.run(
            command(*arguments),
            capture_output=True,
            check=False,
            env=self._environment,
            text=True,
            timeout=PATIENCE_S,
        )

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Start a `vitrine` command against this mesh."""
        return subprocess.Popen(
            command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._environment,
            text=True,
        )

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "VITRINE_SERVER": self.layout.gateway}

    def run_json(self, *arguments: object, status: int = 0) -> Any:
        """What a command with `--json` printed; it must end with `status`."""
        ended = self.run(*arguments, "--json")
        assert ended.returncode == status, ended.stderr + ended.stdout
        return json.loads(ended.stdout)

    def index(self, folder: Path, catalog: str, *arguments: object, status: int = 0) -> Any:
        """What `vitrine index` tells of a folder that it has indexed; every shard has it all then."""
        summary = self.run_json("index", folder, "--catalog", catalog, *arguments, status=status)
        self.await_shards(catalog)
        return summary

    def await_shards(self, catalog: str) -> None:
        """Wait until every shard has what was written to a catalogue before."""
        with self.client(catalog) as client:
            revision = client.get_catalog().revision
        # A search that asks for it would be among the catalogue's searches.
        eventually(
            lambda: all(_revision(shard) >= revision for shard in self.layout.vectorsearch),
            what=f"every shard is at revision {revision}",
        )

    def lines(self, service: str) -> list[dict[str, Any]]:
        """What a service, or the `supervisor`, has logged so far."""
        path = self.log_dir / f"{service}.log"
        if not path.exists():
            return []
        # The last line may be half written.
        whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def child_events(self, service: str, event: str) -> list[dict[str, Any]]:
        """What the supervisor has logged of one of its children: `started`, `ready`, `died`."""
        return [
            line
            for line in self.lines("supervisor")
            if line["event"] == event and line.get("child") == service
        ]

    def pid(self, service: str) -> int:
        """Process id of the service's present, or last, process."""
        return int(self.child_events(service, "started")[-1]["pid"])

    def is_ready(self, service: str) -> bool:
        """Whether the present process of a service has said that it can work."""
        ready = self.child_events(service, "ready")
        return bool(ready) and ready[-1]["pid"] == self.pid(service)

    def kill(self, service: str) -> None:
        """Kill a service without warning."""
        os.kill(self.pid(service), signal.SIGKILL)

    @contextmanager
    def hanging(self, service: str) -> Iterator[None]:
        """A block in which a service does nothing at all, with its ports open; afterwards it goes on."""
        pid = self.pid(service)
        os.kill(pid, signal.SIGSTOP)
        try:
            # Its threads may be at work on other cores when the signal is sent.
            eventually(lambda: _stands_still(pid), what=f"{service} does nothing")
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def await_restart(self, service: str, *, killed: int) -> None:
        """Wait until another process than `killed` serves in its place."""
        eventually(lambda: self.pid(service) != killed and self.is_ready(service), what=f"{service} is back")

    def stop(self) -> None:
        """Ask it to end, and hold it to a clean end."""
        self.process.terminate()
        assert self.process.wait(PATIENCE_S) == 0

    def cut_power(self) -> None:
        """Kill every process, the supervisor first so that it restarts none; all are gone afterwards."""
        self.process.kill()
        for name in self.layout.addresses:
            with suppress(ProcessLookupError):
                self.kill(name)
        self.process.wait(PATIENCE_S)
        # They are nobody's children that could be waited for. With its ports a process lets go of its files.
        eventually(
            lambda: all(ports.is_free(port) for port in self.layout.ports), what="all processes are gone"
        )


def _revision(shard: str) -> int:
    """How far a shard is, by its address."""
    with grpc.insecure_channel(shard) as channel:
        ask = vectorsearch_pb2_grpc.VectorSearchServiceStub(channel).GetShardStatus
        return ask(vectorsearch_pb2.GetShardStatusRequest(), timeout=60).revision


def _stands_still(pid: int) -> bool:
    stats = [stat.read_text() for stat in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(stat.rpartition(") ")[2].startswith("T") for stat in stats)


@contextmanager
def live_mesh(directory: Path, layout: Layout | None = None) -> Iterator[LiveMesh]:
    """A mesh, ready, with data and logs in `directory`. It ends with the block, and must do so cleanly."""
    layout = layout or free_layout()
    # Of its own, for a mesh that is started again on the same data.
    log_dir = Path(tempfile.mkdtemp(prefix="logs-", dir=directory))
    process = subprocess.Popen(
        command(
            "up", "--json", "--shards", layout.shards, "--port-base", layout.port_base,
            "--http-port", layout.http_port, "--data-dir", directory / "data", "--log-dir", log_dir,
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_PATIENT | os.environ,
        text=True,
    )  # fmt: skip
    mesh = LiveMesh(layout, log_dir, process)
    with process:
        try:
            _await_ready(mesh)
            yield mesh
            if process.poll() is None:
                mesh.stop()
        finally:
            if process.poll() is None:
                _kill(mesh)


def _await_ready(mesh: LiveMesh) -> None:
    names = list(mesh.layout.addresses)

    def ready_or_ended() -> bool:
        assert mesh.process.poll() is None, mesh.process.stderr.read() if mesh.process.stderr else ""
        started = {line.get("child") for line in mesh.lines("supervisor") if line["event"] == "started"}
        return started >= set(names) and all(mesh.is_ready(name) for name in names)

    eventually(ready_or_ended, what="the mesh is ready")
    assert mesh.process.stdout is not None
    assert json.loads(mesh.process.stdout.readline())["server"] == mesh.layout.gateway


def _kill(mesh: LiveMesh) -> None:
    """After a failure: the services get SIGTERM from the kernel when their supervisor is gone."""
    for name in mesh.layout.addresses:
        with suppress(IndexError, ProcessLookupError):
            # A stopped process would not hear it.
            os.kill(mesh.pid(name), signal.SIGCONT)
    mesh.process.terminate()
    with suppress(subprocess.TimeoutExpired):
        mesh.process.wait(60)
    mesh.process.kill()

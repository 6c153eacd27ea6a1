"""A whole mesh of real processes, started by `vitrine up`, and the command line against it."""

from __future__ import annotations

import json
import os
import random
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

from vitrine import Client
from vitrine.client.operations import Timeouts
from vitrine.supervisor import ports
from vitrine.supervisor.layout import Layout

SHARDS = 2
READY_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 30.0
# Below the ports that the kernel hands out to clients, and far from the defaults.
_FIRST_PORT, _LAST_PORT, _HTTP = 20_000, 31_000, 500
_POLL_S = 0.05


def command(*arguments: object) -> list[str]:
    """The command line that runs `vitrine` in this interpreter."""
    return [sys.executable, "-m", "vitrine", *(str(argument) for argument in arguments)]


def free_layout() -> Layout:
    """A mesh's ports, all of them free."""
    while True:
        base = random.randrange(_FIRST_PORT, _LAST_PORT, 20)
        layout = Layout(base, base + _HTTP, SHARDS)
        if all(ports.is_free(port) for port in layout.ports):
            return layout


def eventually(holds: Callable[[], bool], *, timeout_s: float, what: str) -> None:
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

    def client(self, catalog: str, *, read_s: float = 10.0) -> Client:
        """A client of one catalogue; reads have a deadline of `read_s`."""
        return Client(self.layout.gateway, catalog=catalog, timeouts=Timeouts(read_s=read_s))

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run a `vitrine` command against this mesh to its end."""
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Start a `vitrine` command against this mesh."""
        return subprocess.Popen(
            command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "VITRINE_SERVER": self.layout.gateway},
            text=True,
        )

    def run_json(self, *arguments: object, status: int = 0) -> Any:
        """What a command with `--json` printed; it must end with `status`."""
        ended = self.run(*arguments, "--json")
        assert ended.returncode == status, ended.stderr + ended.stdout
        return json.loads(ended.stdout)

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
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def await_restart(self, service: str, *, killed: int, timeout_s: float = 120.0) -> float:
        """Wait until another process than `killed` serves in its place; the seconds that took."""
        start = time.monotonic()
        eventually(
            lambda: self.pid(service) != killed and self.is_ready(service),
            timeout_s=timeout_s,
            what=f"{service} is back",
        )
        return time.monotonic() - start

    def stop(self) -> None:
        """Ask it to end, and hold it to a clean end."""
        self.process.terminate()
        assert self.process.wait(STOP_TIMEOUT_S) == 0

    def cut_power(self) -> None:
        """Kill every process, the supervisor first so that it restarts none."""
        self.process.kill()
        for name in self.layout.addresses:
            with suppress(ProcessLookupError):
                self.kill(name)
        self.process.wait(STOP_TIMEOUT_S)


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

    eventually(ready_or_ended, timeout_s=READY_TIMEOUT_S, what="the mesh is ready")
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
        mesh.process.wait(STOP_TIMEOUT_S)
    mesh.process.kill()

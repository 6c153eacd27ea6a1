"""Bringing a mesh up: in this process, or in one of its own that goes on when this one ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from services.mesh.errors import FailedPrecondition
from vitrine.supervisor import ports, state
from vitrine.supervisor.layout import CACHE_VARIABLE, STORE_VARIABLE, Layout, shown_url
from vitrine.supervisor.sinks import Sink
from vitrine.supervisor.state import State
from vitrine.supervisor.supervisor import DRAIN_S, supervise

# A first start reads hundreds of megabytes of weights from a cold disk.
_START_TIMEOUT_S = 300.0
_POLL_S = 0.1
_LAST_BYTES = 4096


@dataclass(frozen=True)
class Mesh:
    """The services of a layout, with their data and model weights.

    `store_url` and `cache_url` go to the gateway, whose own settings hold where they are empty.
    """

    layout: Layout
    data_dir: Path
    models_dir: Path
    store_url: str = field(default="", repr=False)
    cache_url: str = field(default="", repr=False)

    @property
    def log_dir(self) -> Path:
        """Where a detached mesh logs."""
        return self.data_dir / "logs"

    async def run(self, sink: Sink, *, on_ready: Callable[[], None]) -> None:
        """Run until told to stop by a signal.

        Raises FailedPrecondition when a port is in use, the data directory is another mesh's, or a service
        does not start; nothing is left running then.
        """
        with state.claimed(self.data_dir):
            ports.check_free(self.layout.ports)
            self.models_dir.mkdir(parents=True, exist_ok=True)
            starting = State(
                pid=os.getpid(),
                port_base=self.layout.port_base,
                http_port=self.layout.http_port,
                shards=self.layout.shards,
                ready=False,
                store=shown_url(self.store_url),
                cache=shown_url(self.cache_url),
            )
            state.save(self.data_dir, starting)

            def ready() -> None:
                state.save(self.data_dir, replace(starting, ready=True))
                on_ready()

            services = self.layout.services(
                self.data_dir,
                self.models_dir,
                drain_s=DRAIN_S,
                store_url=self.store_url,
                cache_url=self.cache_url,
            )
            await supervise(services, sink, on_ready=ready)

    def start_detached(self) -> State:
        """Start it in a session of its own, which logs to `log_dir`, and return once it is ready.

        Raises FailedPrecondition as `run`, or when it is not ready within five minutes.
        """
        if state.load(self.data_dir) is not None:
            raise state.already_running(self.data_dir)
        ports.check_free(self.layout.ports)
        self.log_dir.mkdir(parents=True, exist_ok=True)
        said = self.log_dir / "up.log"
        with said.open("wb") as log:
            process = subprocess.Popen(
                [
                    sys.executable, "-m", "vitrine", "up",
                    "--port-base", str(self.layout.port_base),
                    "--http-port", str(self.layout.http_port),
                    "--shards", str(self.layout.shards),
                    "--data-dir", str(self.data_dir),
                    "--models-dir", str(self.models_dir),
                    "--log-dir", str(self.log_dir),
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                # Not as arguments: everybody on this machine may read those, and there are passwords in them.
                env={**os.environ, **_given(STORE_VARIABLE, self.store_url),
                     **_given(CACHE_VARIABLE, self.cache_url)},
            )  # fmt: skip
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            running = state.load(self.data_dir)
            if running is not None and running.ready:
                # It goes on without us: Popen need not warn that nobody waits for it.
                process.returncode = 0
                return running
            if process.poll() is not None:
                raise FailedPrecondition(f"the mesh did not start:\n{_tail(said)}", reason="START_FAILED")
            if time.monotonic() > deadline:
                process.terminate()
                raise FailedPrecondition(
                    f"the mesh was not ready after {_START_TIMEOUT_S:.0f} s; its logs are in {self.log_dir}",
                    reason="START_FAILED",
                )
            time.sleep(_POLL_S)


def _given(variable: str, value: str) -> dict[str, str]:
    return {variable: value} if value else {}


def _tail(path: Path) -> str:
    return path.read_bytes()[-_LAST_BYTES:].decode(errors="replace").strip()

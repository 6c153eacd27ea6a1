"""What a running mesh tells others of itself, in its data directory.

The lock says whether it runs: the kernel lets go of it however the process ends, and a process id would be
used again.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from services.mesh.errors import FailedPrecondition
from vitrine.supervisor.layout import Layout

_STATE = "up.json"
_LOCK = "up.lock"
# Those who look take the lock for a moment, which must not keep a mesh from starting.
_LOOK_S = 1.0
_POLL_S = 0.05


@dataclass(frozen=True)
class State:
    """A mesh: the process that supervises it, where it listens, whether it was ready.

    `store` and `cache` are where its gateway was told to keep things, without passwords; empty for its own.
    """

    pid: int
    port_base: int
    http_port: int
    shards: int
    ready: bool
    store: str = ""
    cache: str = ""

    @property
    def layout(self) -> Layout:
        """Its ports."""
        return Layout(self.port_base, self.http_port, self.shards)


@contextmanager
def claimed(data_dir: Path) -> Iterator[None]:
    """Hold the data directory for one mesh.

    Raises FailedPrecondition (reason ALREADY_RUNNING) when another runs on it.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / _LOCK).open("a") as lock:
        deadline = time.monotonic() + _LOOK_S
        while not _locked(lock.fileno(), fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise already_running(data_dir)
            time.sleep(_POLL_S)
        try:
            yield
        finally:
            (data_dir / _STATE).unlink(missing_ok=True)


def save(data_dir: Path, state: State) -> None:
    """Tell others; called by the process that holds the directory."""
    temporary = data_dir / f"{_STATE}.tmp"
    temporary.write_text(json.dumps(asdict(state)))
    temporary.replace(data_dir / _STATE)


def load(data_dir: Path) -> State | None:
    """The mesh that runs on this directory, or None when none does."""
    try:
        with (data_dir / _LOCK).open("r") as lock:
            if _locked(lock.fileno(), fcntl.LOCK_SH):
                return None
        return State(**json.loads((data_dir / _STATE).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        # It is just starting or ending.
        return None


def stop(data_dir: Path, *, timeout_s: float) -> bool:
    """End the mesh that runs on this directory, gracefully; False when none does.

    Raises FailedPrecondition when it has not ended within `timeout_s`.
    """
    state = load(data_dir)
    if state is None:
        return False
    os.kill(state.pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while load(data_dir) is not None:
        if time.monotonic() > deadline:
            raise FailedPrecondition(f"process {state.pid} has not ended within {timeout_s:.0f} s")
        time.sleep(_POLL_S)
    return True


def already_running(data_dir: Path) -> FailedPrecondition:
    """The error of starting a mesh where one runs."""
    return FailedPrecondition(
        f"a mesh already runs on {data_dir}; `vitrine down` stops it", reason="ALREADY_RUNNING"
    )


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

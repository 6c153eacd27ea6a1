from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from services.mesh.errors import FailedPrecondition
from tests.vitrine.conftest import TIMEOUT_S
from vitrine.supervisor import state
from vitrine.supervisor.state import State

_HOLDER = """
import os, pathlib, signal, sys, time
from vitrine.supervisor import state
directory = pathlib.Path(sys.argv[1])
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with state.claimed(directory):
    state.save(directory, state.State(os.getpid(), 50051, 8080, 1, True))
    print("held", flush=True)
    time.sleep(600)
"""


@contextmanager
def _holder(directory: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(directory)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_nothing_runs_on_an_empty_directory(tmp_path: Path) -> None:
    """Neither a directory that is missing nor an empty one has a mesh, and there is nothing to stop."""
    assert state.load(tmp_path / "none") is None
    assert state.load(tmp_path) is None
    assert not state.stop(tmp_path, timeout_s=1)


def test_a_running_mesh_is_found_and_keeps_others_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one holds the directory others find it, and cannot start beside it."""
    monkeypatch.setattr(state, "_LOOK_S", 0.0)
    with _holder(tmp_path) as process:
        assert state.load(tmp_path) == State(process.pid, 50051, 8080, 1, True)
        with pytest.raises(FailedPrecondition, match="vitrine down"), state.claimed(tmp_path):
            pass


def test_a_mesh_that_was_killed_does_not_run(tmp_path: Path) -> None:
    """What a killed process left behind is not taken for a running one."""
    with _holder(tmp_path) as process:
        process.kill()
        process.wait()
        assert (tmp_path / "up.json").exists()
        assert state.load(tmp_path) is None
        with state.claimed(tmp_path):
            pass


def test_stop_ends_the_process_and_waits_for_it(tmp_path: Path) -> None:
    """After `stop` the directory is free."""
    with _holder(tmp_path) as process:
        assert state.stop(tmp_path, timeout_s=TIMEOUT_S)
        assert process.wait() == 0
        assert state.load(tmp_path) is None


def test_stop_tells_when_the_process_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ignores the signal is not waited for without end."""
    monkeypatch.setattr(state, "os", SimpleNamespace(kill=lambda *_: None))
    with _holder(tmp_path), pytest.raises(FailedPrecondition, match="has not ended"):
        state.stop(tmp_path, timeout_s=0.1)


def test_a_torn_state_is_no_mesh(tmp_path: Path) -> None:
    """A file that is no state, while another process holds the lock, is not an error."""
    with _holder(tmp_path):
        (tmp_path / "up.json").write_text("{")
        assert state.load(tmp_path) is None

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from services.mesh.errors import FailedPrecondition
from tests.vitrine.conftest import TIMEOUT_S
from tests.vitrine.fake_gateway import FakeGateway
from tests.vitrine.lines import Lines
from vitrine.supervisor import mesh, ports, state
from vitrine.supervisor.layout import Layout, Service
from vitrine.supervisor.mesh import Mesh

_COMES_UP = """
import os, pathlib, signal, sys
from vitrine.supervisor import state
directory = pathlib.Path(sys.argv[sys.argv.index("--data-dir") + 1])
with state.claimed(directory):
    state.save(directory, state.State(os.getpid(), 20000, 8000, 2, True))
    signal.pause()
"""


@pytest.fixture
def quiet_mesh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mesh:
    """A mesh whose ports are taken to be free."""
    monkeypatch.setattr(ports, "check_free", lambda _: None)
    return Mesh(Layout(20000, 8000, 2), tmp_path / "data", tmp_path / "models")


def _instead_of_vitrine(program: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `python -m vitrine up` run `program`."""
    script = directory / "python"
    script.write_text(f"#!{sys.executable}\n{program}")
    script.chmod(0o755)
    monkeypatch.setattr(mesh, "sys", SimpleNamespace(executable=str(script)))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", *sys.path, str(Path.cwd())]))


async def test_others_see_when_a_mesh_is_ready_and_when_it_has_ended(
    quiet_mesh: Mesh, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state is there from the start, ready once all services are, and gone afterwards."""
    service = Service("only", (sys.executable, "-c", "import signal; signal.pause()"), {}, gateway.address)
    monkeypatch.setattr(Layout, "services", lambda *_, **__: [service])
    ready = asyncio.Event()
    running = asyncio.create_task(quiet_mesh.run(Lines(), on_ready=ready.set))
    await asyncio.wait_for(ready.wait(), TIMEOUT_S)
    assert state.load(quiet_mesh.data_dir) == state.State(os.getpid(), 20000, 8000, 2, True)
    with pytest.raises(FailedPrecondition, match="already runs"):
        quiet_mesh.start_detached()
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(running, TIMEOUT_S)
    assert state.load(quiet_mesh.data_dir) is None


def test_a_detached_mesh_goes_on_until_it_is_stopped(
    quiet_mesh: Mesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Starting returns once it is ready, and stopping ends it."""
    _instead_of_vitrine(_COMES_UP, tmp_path, monkeypatch)
    started = quiet_mesh.start_detached()
    assert started.layout == quiet_mesh.layout
    assert state.stop(quiet_mesh.data_dir, timeout_s=TIMEOUT_S)
    os.waitpid(started.pid, 0)


def test_passwords_are_no_arguments(
    quiet_mesh: Mesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A detached mesh is told of its store in the environment, and tells others without the password."""
    program = "import os, sys; sys.exit(os.environ['VITRINE_GATEWAY_STORE_URL'] + repr(sys.argv))"
    _instead_of_vitrine(program, tmp_path, monkeypatch)
    secret = replace(quiet_mesh, store_url="mongodb://me:secret@h/shop")
    with pytest.raises(FailedPrecondition) as caught:
        secret.start_detached()
    said = caught.value.message.partition("[")
    assert "mongodb://me:secret@h/shop" in said[0]
    assert "secret" not in said[2]
    assert "secret" not in repr(secret)


def test_a_detached_mesh_that_does_not_start_says_why(
    quiet_mesh: Mesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it said last is the message."""
    _instead_of_vitrine("raise SystemExit('broken it is')", tmp_path, monkeypatch)
    with pytest.raises(FailedPrecondition, match="broken it is"):
        quiet_mesh.start_detached()

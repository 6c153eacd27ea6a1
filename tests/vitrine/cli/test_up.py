from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.meshes import free_layout
from tests.vitrine.fake_gateway import FakeGateway
from vitrine.cli.main import app
from vitrine.supervisor import state
from vitrine.supervisor.layout import Layout, data_dir_default
from vitrine.supervisor.mesh import Mesh
from vitrine.supervisor.state import State

# Nobody listens there.
NOBODY, NOBODY_ELSE = "127.0.0.1:1", "127.0.0.1:2"


@pytest.fixture
def layout() -> Layout:
    """Where a mesh of this test may listen: nobody else does."""
    return free_layout()


@pytest.fixture
def gateway(layout: Layout) -> Iterator[FakeGateway]:
    """A fake gateway where the mesh has its own; nothing listens where its other services would."""
    with FakeGateway().serving(layout.port_base) as serving:
        yield serving


@pytest.fixture
def running(layout: Layout) -> State:
    """What that mesh tells of itself."""
    return State(os.getpid(), layout.port_base, layout.http_port, 1, True)


@pytest.mark.parametrize("detach", [[], ["--detach"]])
def test_a_port_in_use_is_told_before_anything_starts(detach: list[str], tmp_path: Path) -> None:
    """The port and the flag that moves it are named, and no service was started."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = CliRunner().invoke(
            app,
            [
                *("up", "--port-base", str(free_layout().port_base), "--http-port", str(port)),
                *("--data-dir", str(tmp_path / "data"), *detach),
            ],
        )
    assert result.exit_code == 1
    assert f"port {port} (HTTP) is in use" in result.stderr
    assert "--http-port" in result.stderr
    assert not (tmp_path / "data" / "gateway").exists()


def test_ports_outside_of_the_range_are_a_usage_error() -> None:
    """A base that leaves no room for the others is refused."""
    assert CliRunner().invoke(app, ["up", "--port-base", "65000"]).exit_code == 2


def test_down_without_a_mesh_is_no_failure() -> None:
    """What is not running need not be stopped."""
    result = CliRunner().invoke(app, ["down", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"stopped": False}
    assert "nothing was running" in CliRunner().invoke(app, ["down"]).stdout


def test_commands_find_the_mesh_that_runs(gateway: FakeGateway, running: State) -> None:
    """The state of a running mesh tells where it listens; without one it is the default."""
    assert _gateway_of("--server", NOBODY) == NOBODY
    assert _gateway_of() == Layout().gateway
    directory = data_dir_default()
    with state.claimed(directory):
        state.save(directory, running)
        assert _gateway_of() == gateway.address
        assert _gateway_of("--server", NOBODY) == NOBODY


def test_a_data_directory_that_is_typed_goes_before_the_environment(
    gateway: FakeGateway, running: State, tmp_path: Path
) -> None:
    """VITRINE_SERVER does not outweigh `--data-dir`, while `--server` outweighs everything."""
    with state.claimed(tmp_path):
        state.save(tmp_path, running)
        elsewhere = {"VITRINE_SERVER": NOBODY}
        assert _gateway_of("--data-dir", str(tmp_path), env=elsewhere) == gateway.address
        assert _gateway_of("--data-dir", str(tmp_path), "--server", NOBODY_ELSE, env=elsewhere) == NOBODY_ELSE
        assert _gateway_of(env={"VITRINE_DATA_DIR": str(tmp_path), **elsewhere}) == NOBODY


def _gateway_of(*arguments: str, env: dict[str, str] | None = None) -> str:
    found = json.loads(CliRunner().invoke(app, ["status", "--json", *arguments], env=env).stdout)
    return next(str(service["address"]) for service in found["services"] if service["name"] == "gateway")


def test_status_shows_what_serves_and_what_does_not(gateway: FakeGateway, running: State) -> None:
    """Each service has its state, a shard that is away is told, and not all serving ends with 1."""
    gateway.catalogs["shop"] = {}
    directory = data_dir_default()
    with state.claimed(directory):
        state.save(directory, running)
        result = CliRunner().invoke(app, ["status", "--json"])
        shown = CliRunner().invoke(app, ["status"])
    assert result.exit_code == shown.exit_code == 1
    found = json.loads(result.stdout)
    services = {service["name"]: service["status"] for service in found["services"]}
    assert services["gateway"] == "serving"
    assert services["embedder"] == "away"
    assert found["catalogs"][0]["catalog"] == "shop"
    assert "error" in found["shards"][0]
    assert found["models"] == []
    assert "shop" in shown.stdout
    assert str(os.getpid()) in shown.stdout


def test_status_tells_where_things_are_kept(gateway: FakeGateway, running: State) -> None:
    """The store and the cache of the mesh, as it told them, or else its own."""
    directory = data_dir_default()
    with state.claimed(directory):
        state.save(directory, replace(running, store="mongodb://me@h/shop"))
        found = json.loads(CliRunner().invoke(app, ["status", "--json"]).stdout)
        assert (found["store"], found["cache"]) == ("mongodb://me@h/shop", "memory")
        assert "store: mongodb://me@h/shop · cache: memory" in CliRunner().invoke(app, ["status"]).stdout


def test_status_tells_why_it_shows_no_catalogues(gateway: FakeGateway) -> None:
    """A gateway that asks for a key tells none to a caller without one, which is not that there are none."""
    gateway.key = "vk_abc"
    refused = CliRunner().invoke(app, ["status", "--server", gateway.address])
    assert refused.exit_code == 0
    assert "no catalogues are shown: there is no such key" in refused.stderr
    known = CliRunner().invoke(app, ["status", "--server", gateway.address, "--key", "vk_abc"])
    assert "no catalogues" not in known.stderr


def test_a_mesh_on_a_directory_of_its_own_tells_how_it_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Other commands look on the usual directory, unless they are told otherwise."""
    monkeypatch.setattr(Mesh, "start_detached", lambda _: State(1, 2, 3, 4, True))
    own = CliRunner().invoke(app, ["up", "--detach", "--data-dir", str(tmp_path / "own")])
    assert f"VITRINE_DATA_DIR={tmp_path / 'own'}" in own.stderr
    usual = CliRunner().invoke(app, ["up", "--detach"])
    assert usual.exit_code == 0
    assert "VITRINE_DATA_DIR" not in usual.stderr


def test_a_store_and_a_cache_are_given_to_the_mesh(monkeypatch: pytest.MonkeyPatch) -> None:
    """By options, or by the variables that the gateway itself reads."""
    meshes: list[Mesh] = []

    def started(mesh: Mesh) -> State:
        meshes.append(mesh)
        return State(1, 2, 3, 4, True)

    monkeypatch.setattr(Mesh, "start_detached", started)
    options = ["--store", "mongodb://h/shop", "--cache", "redis://h/0"]
    assert CliRunner().invoke(app, ["up", "--detach", *options]).exit_code == 0
    environment = {"VITRINE_GATEWAY_STORE_URL": "mongodb://h/shop"}
    assert CliRunner().invoke(app, ["up", "--detach"], env=environment).exit_code == 0
    assert [(mesh.store_url, mesh.cache_url) for mesh in meshes] == [
        ("mongodb://h/shop", "redis://h/0"),
        ("mongodb://h/shop", ""),
    ]


def test_status_of_a_server_elsewhere_asks_it_alone(gateway: FakeGateway) -> None:
    """With --server the gateway's own state decides."""
    result = CliRunner().invoke(app, ["status", "--server", gateway.address, "--json"])
    assert result.exit_code == 0
    assert [service["name"] for service in json.loads(result.stdout)["services"]] == ["gateway"]


def test_status_of_nobody_tells_how_to_start(running: State) -> None:
    """Where nothing runs the command that starts it is named; a supervisor needs no such hint."""
    alone = CliRunner().invoke(app, ["status", "--server", "127.0.0.1:9"])
    assert alone.exit_code == 1
    assert "start it with `vitrine up`" in alone.stderr
    directory = data_dir_default()
    with state.claimed(directory):
        state.save(directory, running)
        supervised = CliRunner().invoke(app, ["status"])
    assert "vitrine up" not in supervised.output
    assert "failed to connect" not in supervised.output.lower()

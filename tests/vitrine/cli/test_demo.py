from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.vitrine.fake_gateway import FakeGateway
from vitrine.catalogs import demo as demo_catalog
from vitrine.catalogs.refarch import REFARCH
from vitrine.cli import models
from vitrine.cli.demo import catalog_id
from vitrine.cli.main import app
from vitrine.supervisor import state
from vitrine.supervisor.layout import data_dir_default
from vitrine.supervisor.state import State


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fashion-products", "fashion-products"),
        ("My Shop (2)", "my-shop-2"),
        ("___", "demo"),
        ("x" * 80, "x" * 63),
    ],
)
def test_a_catalogue_is_named_after_its_folder(name: str, expected: str) -> None:
    """Whatever a folder is called, its catalogue has an id that the gateway takes."""
    assert catalog_id(Path("/somewhere") / name) == expected


def test_the_demo_indexes_into_the_mesh_that_runs(
    gateway: FakeGateway, drawn_catalog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Models are pulled, the catalogue fetched and indexed, and the page and commands are told."""
    pulled: list[Path] = []
    monkeypatch.setattr(models, "pull_all", pulled.append)
    monkeypatch.setattr(demo_catalog, "fetch", lambda _: drawn_catalog)
    directory = data_dir_default()
    with state.claimed(directory):
        state.save(directory, State(os.getpid(), int(gateway.address.rpartition(":")[2]), 8080, 1, True))
        shown = CliRunner().invoke(app, ["demo", "--no-wait"])
        again = CliRunner().invoke(app, ["demo", "--no-wait", "--json"])
        own = CliRunner().invoke(app, ["demo", "--no-wait", "--json", "--catalog-dir", str(drawn_catalog)])
    assert shown.exit_code == 0, shown.output
    assert "http://127.0.0.1:8080 is the page" in shown.stdout
    assert 'vitrine search --catalog demo --text "red shoes"' in shown.stdout
    assert json.loads(again.stdout)["unchanged"] == len(gateway.catalogs["demo"]) > 0
    assert json.loads(own.stdout)["catalog"] == "catalog"
    assert not pulled, "a mesh that runs has its models"


def test_the_larger_demo_says_that_it_has_no_licence(
    gateway: FakeGateway, drawn_catalog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is fetched only when asked for by name, after that was told, into a catalogue of its own."""
    asked: list[tuple[Path, object]] = []

    def fetch(directory: Path, shops: object) -> Path:
        asked.append((directory, shops))
        return drawn_catalog

    monkeypatch.setattr(models, "pull_all", lambda _: None)
    monkeypatch.setattr(demo_catalog, "fetch", fetch)
    directory = data_dir_default()
    with state.claimed(directory):
        state.save(directory, State(os.getpid(), int(gateway.address.rpartition(":")[2]), 8080, 1, True))
        shown = CliRunner().invoke(app, ["demo", "--no-wait", "--refarch"])
        both = CliRunner().invoke(
            app, ["demo", "--no-wait", "--refarch", "--catalog-dir", str(drawn_catalog)]
        )
    assert shown.exit_code == 0, shown.output
    assert "states no licence" in shown.stderr
    assert asked == [(directory / "refarch", (REFARCH,))]
    assert list(gateway.catalogs) == ["refarch"]
    assert both.exit_code == 2

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner, Result

from tests.vitrine.fake_gateway import FakeGateway
from vitrine import Client, Product
from vitrine.cli.main import app
from vitrine.client import synchronous


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a generation looks again at once."""
    monkeypatch.setattr(synchronous, "time", SimpleNamespace(**{**vars(time), "sleep": lambda _: None}))


def _vitrine(gateway: FakeGateway, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--server", gateway.address])


def test_catalogues_come_and_go(gateway: FakeGateway) -> None:
    """One is created, listed, shown and deleted; those with products by force alone."""
    assert "no catalogues yet" in _vitrine(gateway, "catalogs", "list").stderr
    made = json.loads(_vitrine(gateway, "catalogs", "create", "shop", "--json").stdout)
    assert (made["id"], made["products"], made["generation"], made["spaces"]) == ("shop", 0, "g1", ["clip"])
    assert made["generations"][0]["state"] == "active"
    again = _vitrine(gateway, "catalogs", "create", "shop")
    assert (again.exit_code, again.stderr) == (1, "error: there is one\n")
    with Client(gateway.address, catalog="shop") as client:
        client.upsert([Product("a")])
    assert json.loads(_vitrine(gateway, "catalogs", "list", "--json").stdout)["catalogs"][0]["products"] == 1
    assert "shop" in _vitrine(gateway, "catalogs", "get", "shop").stdout
    refused = _vitrine(gateway, "catalogs", "delete", "shop", "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["error"]["reason"] == "NOT_EMPTY"
    assert json.loads(_vitrine(gateway, "catalogs", "delete", "shop", "--force", "--json").stdout) == {
        "deleted": "shop"
    }
    assert gateway.catalogs == {}
    assert _vitrine(gateway, "catalogs", "get", "Shop!").exit_code == 2


def test_generations_are_built_activated_and_deleted(gateway: FakeGateway) -> None:
    """`--wait` returns when it is ready; the active one cannot be deleted."""
    gateway.catalogs["shop"] = {}
    made = json.loads(_vitrine(gateway, "generations", "create", "--json").stdout)
    assert (made["id"], made["state"]) == ("g2", "building")
    early = _vitrine(gateway, "generations", "activate", "g2")
    assert early.exit_code == 1
    assert early.stderr == "error: it is still being built\n"
    catalog = json.loads(_vitrine(gateway, "generations", "activate", "g2", "--wait", "--json").stdout)
    assert catalog["generation"] == "g1"
    listed = json.loads(_vitrine(gateway, "generations", "list", "--json").stdout)["generations"]
    assert [(each["id"], each["state"]) for each in listed] == [("g1", "ready"), ("g2", "active")]
    shown = _vitrine(gateway, "generations", "list").stdout
    assert "g2" in shown
    assert "active" in shown
    assert _vitrine(gateway, "generations", "delete", "g2").exit_code == 1
    assert "deleted" in _vitrine(gateway, "generations", "delete", "g1").stdout
    assert (
        json.loads(_vitrine(gateway, "generations", "create", "--wait", "--json").stdout)["state"] == "ready"
    )
    assert json.loads(_vitrine(gateway, "generations", "delete", "g3", "--json").stdout) == {"deleted": "g3"}


def test_a_generation_that_is_not_needed_is_no_failure(gateway: FakeGateway) -> None:
    """With `--if-needed` the newest that has these models will do, and one that is being built is awaited."""
    gateway.catalogs["shop"] = {}
    _vitrine(gateway, "generations", "create")
    gateway.has_new_models = False
    hurried = _vitrine(gateway, "generations", "create", "--if-needed")
    assert (hurried.exit_code, hurried.stderr) == (1, "error: another one is being built\n")
    gateway.looks = 0
    waited = _vitrine(gateway, "generations", "create", "--if-needed", "--wait", "--json")
    assert waited.exit_code == 0
    assert "g2 is being built; waiting for it" in waited.stderr
    assert "g2 has these models already" in waited.stderr
    assert [json.loads(waited.stdout)[key] for key in ("id", "state")] == ["g2", "ready"]
    assert _vitrine(gateway, "generations", "create").exit_code == 1
    gateway.has_new_models = True
    new = _vitrine(gateway, "generations", "create", "--if-needed", "--json")
    assert json.loads(new.stdout)["id"] == "g3"


def test_a_wait_that_is_too_long_tells_what_keeps_it(gateway: FakeGateway) -> None:
    """The problem of a generation is shown, and ends the wait with 1 when the time is over."""
    gateway.catalogs["shop"] = {}
    gateway.problem = "the embedder is away"
    late = _vitrine(gateway, "generations", "create", "--wait", "--timeout", "0")
    assert late.exit_code == 1
    assert "g2 has 0 of 0 products: the embedder is away" in late.stderr
    assert "the embedder is away" in _vitrine(gateway, "generations", "list").stdout

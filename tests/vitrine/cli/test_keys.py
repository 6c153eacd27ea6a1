from __future__ import annotations

import hashlib
import json

from typer.testing import CliRunner, Result

from tests.vitrine.fake_gateway import FakeGateway
from vitrine.cli.main import app


def _keys(gateway: FakeGateway, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["keys", *arguments, "--server", gateway.address])


def test_a_secret_is_shown_once(gateway: FakeGateway) -> None:
    """Standard output has the secret alone, so that it can be piped; a list never has it."""
    limits = ("--rate-limit-per-s", "5", "--expires", "2030-01-01T00:00Z")
    options = ("--scope", "write", "--catalogs", "shop,art", *limits)
    made = _keys(gateway, "create", "Importer", *options)
    assert made.stdout == "vk_secret\n"
    listed = _keys(gateway, "list")
    for words in ("key00000", "Importer", "write", "shop art", "2030-01-01"):
        assert words in listed.stdout
    assert "vk_secret" not in listed.stdout
    told = json.loads(_keys(gateway, "create", "Page", "--json").stdout)
    assert (told["secret"], told["key"]["scope"], told["key"]["catalogs"]) == ("vk_secret", "search", [])
    assert told["key"]["expires"] is None
    keys = json.loads(_keys(gateway, "list", "--json").stdout)["keys"]
    assert [key["rate_limit_per_s"] for key in keys] == [5, 0]


def test_keys_are_deleted(gateway: FakeGateway) -> None:
    """By id; one that is not there is a failure, and none at all is told."""
    _keys(gateway, "create", "Page")
    assert json.loads(_keys(gateway, "delete", "key00000", "--json").stdout) == {"deleted": "key00000"}
    assert _keys(gateway, "delete", "key00000").exit_code == 1
    assert "no keys" in _keys(gateway, "list").stderr


def test_wrong_options_are_named(gateway: FakeGateway) -> None:
    """A scope or a time that there is none of, and a catalogue that can be none."""
    assert _keys(gateway, "create", "Page", "--scope", "root").exit_code == 2
    ends = _keys(gateway, "create", "Page", "--expires", "soon")
    assert "error: --expires: 'soon' is not" in ends.stderr
    assert _keys(gateway, "create", "Page", "--catalogs", "Shop!").exit_code == 2


def test_a_hash_is_of_the_whole_key() -> None:
    """A key is read from standard input, or made; its hash is what the gateway is told."""
    hashed = CliRunner().invoke(app, ["keys", "hash", "--json"], input="vk_abc_def\n")
    assert json.loads(hashed.stdout) == {"hash": hashlib.sha256(b"vk_abc_def").hexdigest()}
    shown = CliRunner().invoke(app, ["keys", "hash"], input="vk_abc_def\n")
    assert shown.stdout.strip() == hashlib.sha256(b"vk_abc_def").hexdigest()
    assert "vk_abc_def" not in shown.output
    told = json.loads(CliRunner().invoke(app, ["keys", "hash", "--new", "--json"]).stdout)
    assert told["hash"] == hashlib.sha256(told["key"].encode()).hexdigest()
    made = CliRunner().invoke(app, ["keys", "hash", "--new"]).stdout.split()
    assert made[3] == hashlib.sha256(made[1].encode()).hexdigest()

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from services.mesh.errors import ResourceExhausted, Unauthenticated
from tests.vitrine.fake_gateway import FakeGateway
from vitrine.cli import output
from vitrine.cli.main import app


def _vitrine(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vitrine", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_command_line_imports_nothing_heavy() -> None:
    """Help must not wait for gRPC, torch, FAISS or boxes around help."""
    heavy = "{'torch', 'faiss', 'grpc', 'numpy', 'pydantic', 'rich.markdown'}"
    code = f"import sys, vitrine.cli.main; sys.exit(repr({heavy} & set(sys.modules) or ''))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stderr.strip() == "''"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        *([name] for name in ("up", "down", "index", "search", "status", "models", "train", "eval", "demo")),
        *(["products", name] for name in ("list", "get", "delete", "update")),
        *(["catalogs", name] for name in ("list", "get", "create", "delete")),
        *(["generations", name] for name in ("list", "create", "activate", "delete")),
        *(["queries", name] for name in ("list", "stats")),
        *(["keys", name] for name in ("create", "list", "delete", "hash")),
        ["feedback"],
        *(["train", name] for name in ("triplet", "colour", "clip", "probes", "all", "split", "weights")),
        *(["models", name] for name in ("list", "pull", "verify")),
    ],
)
def test_every_command_has_help(arguments: list[str]) -> None:
    """Each command tells what it does and its options."""
    result = CliRunner().invoke(app, [*arguments, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output


def test_what_failed_ends_with_1_and_a_sentence() -> None:
    """Nobody answering is a failure, told without a traceback."""
    ended = _vitrine("search", "--server", "127.0.0.1:9", "red shoes")
    assert ended.returncode == 1
    assert "is `vitrine up` running?" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not ended.stdout


def test_what_was_asked_wrongly_ends_with_2() -> None:
    """An unknown option and a query that is none are usage errors."""
    assert _vitrine("search", "--no-such-option").returncode == 2
    assert CliRunner().invoke(app, ["search"]).exit_code == 2


def test_errors_are_json_where_json_was_asked_for(gateway: FakeGateway) -> None:
    """A program that reads standard output finds the field and the reason there."""
    gateway.catalogs["shop"] = {}
    result = CliRunner().invoke(app, ["search", "a", "--k", "0", "--server", gateway.address, "--json"])
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"] == {
        "reason": "INVALID_ARGUMENT",
        "field": "k",
        "message": "must be 1 to 100",
    }


def test_who_has_no_key_is_told_how_to_give_one(gateway: FakeGateway) -> None:
    """The gateway speaks of headers; here it is an option or a variable."""
    gateway.failures.append(Unauthenticated("needs a key", reason="CREDENTIAL_MISSING"))
    result = CliRunner().invoke(app, ["catalogs", "list", "--server", gateway.address])
    assert result.exit_code == 1
    assert "error: needs a key (--key or VITRINE_KEY)" in result.stderr


def test_what_ails_the_gateway_is_found_in_its_log(gateway: FakeGateway) -> None:
    """When to try again is told, and the trace by which the gateway's operator finds the cause."""
    gateway.failures.extend([ResourceExhausted("full", retry_after_s=7)] * 2)
    shown = CliRunner().invoke(app, ["catalogs", "list", "--server", gateway.address])
    assert shown.exit_code == 1
    assert re.search(r"error: full; try again in 7 s \(trace [0-9a-f]{32}\)", shown.stderr)
    result = CliRunner().invoke(app, ["catalogs", "list", "--server", gateway.address, "--json"])
    told = json.loads(result.stdout)["error"]
    assert (told["reason"], told["retry_after_s"]) == ("OVERLOADED", 7)
    assert told["notes"][0].startswith("trace ")


def test_fields_shown_with_dashes_are_options() -> None:
    """What an error names with dashes can be typed so, in some command."""
    options = set(_options(typer.main.get_command(app)))
    shown = {f"--{field.replace('_', '-')}" for field in (*output._OPTIONS, *output._FIELDS.values())}
    assert shown <= options


def _options(command: Any) -> Iterator[str]:
    for parameter in command.params:
        yield from parameter.opts
    if isinstance(command, TyperGroup):
        for inner in command.commands.values():
            yield from _options(inner)


def test_a_missing_folder_is_a_usage_error(gateway: FakeGateway, tmp_path: Path) -> None:
    """Indexing what is not there names the argument."""
    for command in ("index", "demo --catalog-dir"):
        result = CliRunner().invoke(app, [*command.split(), str(tmp_path / "none")])
        assert result.exit_code == 2

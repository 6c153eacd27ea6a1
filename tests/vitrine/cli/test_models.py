from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vitrine.cli.main import app


def test_an_empty_directory_has_no_models(tmp_path: Path) -> None:
    """Listing tells what is missing and how to fetch it; verifying ends with 1."""
    arguments = ["--models-dir", str(tmp_path)]
    listed = CliRunner().invoke(app, ["models", "list", *arguments, "--json"])
    assert listed.exit_code == 0
    found = json.loads(listed.stdout)["models"]
    assert {model["name"] for model in found} >= {"resnet50", "clip"}
    assert any("vitrine models pull" in model["problem"] for model in found)
    verified = CliRunner().invoke(app, ["models", "verify", *arguments])
    assert verified.exit_code == 1
    assert "resnet50" in verified.stdout


def test_without_the_embedder_s_packages_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """An install of the gateway alone says what to install, instead of a traceback."""
    monkeypatch.setitem(sys.modules, "services.embedder.weights", None)
    monkeypatch.setitem(sys.modules, "services.embedder", None)
    result = CliRunner().invoke(app, ["models", "list"])
    assert result.exit_code == 1
    assert "vitrine[embedder]" in result.stderr

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

from services.embedder import weights
from services.mesh.models_dir import models_dir_default
from vitrine.cli import output
from vitrine.cli.main import app


@pytest.fixture(scope="module")
def models_dir() -> Path:
    """The models directory of this machine with every model in it, fetched where it is missing."""
    weights.pull(weights.MODELS, models_dir_default(), lambda step: None)
    return models_dir_default()


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


def test_models_and_the_spaces_they_make_are_told(models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing fits a terminal; a space's digest starts as requests may name it, and JSON has it whole."""
    monkeypatch.setenv("COLUMNS", "80")
    output.out.cache_clear()
    listing = ["models", "list", "--models-dir", str(models_dir)]
    shown = CliRunner().invoke(app, listing).stdout
    assert max(len(line) for line in shown.splitlines()) <= 80
    found = json.loads(CliRunner().invoke(app, [*listing, "--json"]).stdout)
    assert {"name", "source", "architecture", "size_bytes", "files", "problem"} <= found["models"][0].keys()
    assert [space["space"] for space in found["spaces"]] == ["resnet50", "triplet", "colour", "clip"]
    for space in found["spaces"]:
        assert len(space["digest"]) == 64
        assert space["digest"][:12] in shown
        assert space["digest"] not in shown
    verified = CliRunner().invoke(app, ["models", "verify", "--models-dir", str(models_dir)])
    assert (verified.exit_code, "ok" in verified.stdout) == (0, True)


def test_a_card_is_shown(models_dir: Path, tmp_path: Path) -> None:
    """The card of a space is Markdown where it is piped, JSON on demand, and there without weights too."""
    asked = ["models", "show", "clip", "--models-dir"]
    shown = CliRunner().invoke(app, [*asked, str(models_dir)]).stdout
    assert shown.startswith("# CLIP")
    found = json.loads(CliRunner().invoke(app, [*asked, str(models_dir), "--json"]).stdout)
    assert (found["space"], found["card"]) == ("clip", shown)
    bare = CliRunner().invoke(app, [*asked, str(tmp_path)])
    assert bare.stdout.startswith("# CLIP")
    assert "vitrine models pull" in bare.stderr
    unknown = CliRunner().invoke(app, ["models", "show", "clap"])
    assert unknown.exit_code != 0
    assert "resnet50, triplet, colour, clip" in unknown.stderr


def test_a_head_of_another_trunk_fails_verification(models_dir: Path, tmp_path: Path) -> None:
    """Files that are whole but do not fit each other are no models, and the way out is not cut off."""
    for name in ("resnet50", "minilm", "clip"):
        (tmp_path / name).symlink_to(models_dir / name)
    (tmp_path / "heads").mkdir()
    save_file({"weight": np.zeros(1)}, tmp_path / "heads" / "triplet.safetensors", {"trunk": "0" * 64})
    verified = CliRunner().invoke(app, ["models", "verify", "--models-dir", str(tmp_path)])
    assert verified.exit_code == 1
    assert "triplet: triplet.safetensors was trained on trunk 000000000000, here is" in verified.stdout
    assert "`vitrine train all` trains it anew" in verified.stdout


def test_a_model_is_pulled_from_a_file(models_dir: Path, tmp_path: Path) -> None:
    """Of the named models only those are pulled, from where they are told to come from."""
    source = models_dir / "resnet50"
    arguments = ["models", "pull", "resnet50", "--models-dir", str(tmp_path), "--json"]
    pulled = CliRunner().invoke(app, [*arguments, "--from", f"resnet50={source}"])
    assert pulled.exit_code == 0
    found = json.loads(pulled.stdout)
    assert [(model["name"], model["source"]) for model in found["models"]] == [("resnet50", str(source))]
    assert [space["space"] for space in found["spaces"] if space["digest"]] == [
        "resnet50",
        "triplet",
        "colour",
    ]
    assert "semantics: left out: no weights of clip" in pulled.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["yolo"], "no model 'yolo'"),
        (["--from", "resnet50"], "wanted NAME=PATH, got 'resnet50'"),
        (["--from", "clip=dual-encoder", "--clip", "ViT-B-32:openai"], "told twice where clip comes from"),
        (["--from", "resnet50=nowhere.pth"], "there is no nowhere.pth"),
        (["minilm", "--clip", "dual-encoder"], "told where 'clip' comes from, but not to pull it"),
    ],
)
def test_mistyped_pulls_are_refused(tmp_path: Path, arguments: list[str], message: str) -> None:
    """What cannot be meant is told before anything is fetched."""
    result = CliRunner().invoke(app, ["models", "pull", "--models-dir", str(tmp_path), *arguments])
    assert result.exit_code == 2
    assert message in result.stderr
    assert not any(path.is_dir() for path in tmp_path.iterdir())

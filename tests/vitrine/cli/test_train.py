from __future__ import annotations

import csv
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from services.embedder import weights
from services.embedder.models import colour, dual_encoder, triplet
from services.mesh.models_dir import models_dir_default
from services.trainer import seen
from services.trainer.seen import Seen
from vitrine.cli.main import app

SHADES = {"Red": (200, 30, 30), "Blue": (30, 40, 200), "Green": (30, 170, 60)}
COLUMNS = ("id", "image", "title", "gender", "masterCategory", "subCategory", "articleType", "baseColour")


@pytest.fixture(scope="module")
def models_dir() -> Path:
    """The models directory of this machine with every model in it, fetched where it is missing."""
    weights.pull(weights.MODELS, models_dir_default(), lambda step: None)
    return models_dir_default()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of the drawn photos, which are the same in every test."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Threads that wait for each other in tiny layers make a busy machine many times slower."""
    threads = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Sixty products of three colours, of which each is a type."""
    folder = tmp_path / "shop"
    (folder / "images").mkdir(parents=True)
    with (folder / "products.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for number in range(60):
            colour = list(SHADES)[number % 3]
            gender, kind = ("Men", "Women")[number % 2], f"{colour} Things"
            table.writerow([number, f"{number}.jpg", f"{colour} {number}", gender, "All", kind, kind, colour])
            red, green, blue = SHADES[colour]
            picture = Image.new("RGB", (40, 40), (red, green, blue))
            picture.paste((number * 4, 255 - number * 4, number * 2), (0, 0, 20 + number % 20, 12))
            picture.save(folder / "images" / f"{number}.jpg")
    return folder


@pytest.fixture
def thumbnails(shop: Path, tmp_path: Path) -> Path:
    """The same products as small photos in a zip."""
    folder = tmp_path / "thumbnails"
    folder.mkdir()
    with zipfile.ZipFile(folder / "thumbnails.zip", "w") as archive:
        archive.write(shop / "products.csv", "products.csv")
        for path in sorted((shop / "images").iterdir()):
            with Image.open(path) as picture:
                picture.resize((20, 20)).save(tmp_path / "small.jpg")
            archive.write(tmp_path / "small.jpg", f"images/{path.name}")
    return folder


def test_a_split_is_written_once_and_for_all(shop: Path, tmp_path: Path) -> None:
    """Three files of ids have every product once."""
    result = CliRunner().invoke(app, ["train", "split", str(shop), "--output", str(tmp_path / "s"), "--json"])
    assert result.exit_code == 0
    files = json.loads(result.stdout)["files"]
    assert sum(files.values()) == 60
    assert {Path(name).name for name in files} == {"train.txt", "validation.txt", "test.txt"}
    shown = CliRunner().invoke(app, ["train", "split", str(shop), "--output", str(tmp_path / "s")])
    assert "test.txt" in shown.stdout


def test_shares_that_leave_nothing_are_told(shop: Path, tmp_path: Path) -> None:
    """A split whose parts leave nothing to train on names the option."""
    shares = ["--validation", "0.7", "--test", "0.3", "--output", str(tmp_path / "s")]
    result = CliRunner().invoke(app, ["train", "split", str(shop), *shares])
    assert result.exit_code == 2
    assert "error: --validation: wanted shares above 0" in result.stderr
    assert not (tmp_path / "s").exists()


def test_all_heads_are_trained_at_once(
    shop: Path, thumbnails: Path, models_dir: Path, cache: Path, tmp_path: Path
) -> None:
    """One command leaves every head, the card, curves and the photos trained on, held-out ones excepted."""
    (tmp_path / "ids.txt").write_text("1\n2\n3\n")
    output = tmp_path / "heads"
    where = ["--output", str(output), "--cache", str(cache), "--models-dir", str(models_dir)]
    options = ["--epochs", "2", "--validation", "0.3", "--held-out", str(tmp_path / "ids.txt"), "--json"]
    options += ["--spaces", "resnet50,clip,triplet"]
    result = CliRunner().invoke(app, ["train", "all", str(shop), str(thumbnails), *where, *options])
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)["validation"]
    assert found.keys() == {"triplet", "colour", "clip", "probes"}
    assert found["probes"].keys() == {"gender", "type"}
    triplet.load(output / "triplet.safetensors")
    colour.load(output / "colour.safetensors")
    dual_encoder.load(output / "dual_encoder.safetensors")
    card = json.loads((output / "model_card.json").read_text())["files"]
    heads = {"triplet.safetensors", "colour.safetensors", "dual_encoder.safetensors", "probes.safetensors"}
    assert card.keys() == {path.name for path in output.glob("*.safetensors")} == heads
    assert (output / "model_card.md").is_file()
    pictures = {picture for entry in card.values() for picture in entry["curves"]}
    assert {path.name for path in output.glob("*.curves.png")} == pictures
    assert len(pictures) == 5
    known = Seen.load(output / seen.FILE)
    photos = {path.stem: seen.digest_of(path.read_bytes()) for path in (shop / "images").iterdir()}
    trained = {name for name, digest in photos.items() if digest in known.digests}
    assert len(trained) > 40
    assert not trained & {"1", "2", "3"}
    assert "epoch 2" in result.stderr
    assert not list((cache / "training").iterdir())


def test_the_last_stage_is_trained_on_request(
    shop: Path, models_dir: Path, cache: Path, tmp_path: Path
) -> None:
    """The file has the stage beside the head, and a figure of both is shown."""
    output = tmp_path / "heads"
    where = ["--output", str(output), "--cache", str(cache), "--models-dir", str(models_dir)]
    options = ["--unfreeze-last-stage", "--epochs", "1", "--validation", "0.3", "--json"]
    result = CliRunner().invoke(app, ["train", "triplet", str(shop), *where, *options])
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["validation"]["triplet"].keys() == {"resnet50", "mixed", "last_stage"}
    assert isinstance(triplet.load(output / "triplet.safetensors"), triplet.TunedHead)
    assert not list((cache / "training").iterdir())


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["triplet", "{shop}", "--labels", "price"], "error: --labels: no label 'price'"),
        (["triplet", "{shop}", "--weight", "shop"], "error: --weight: wanted CATALOGUE=FACTOR"),
        (["colour", "{shop}", "--weight", "other=2"], "error: --weight: no catalogue 'other'"),
        (["probes", "{shop}", "--spaces", "resnet50,nose"], "error: --spaces: no space 'nose'"),
        (["clip", "{shop}", "--checkpoint", "ViT-B-32"], "error: --checkpoint: wanted ARCHITECTURE:FILE"),
        (["all", "{shop}", "--held-out", "absent.txt"], "error: --held-out: absent.txt cannot be read"),
        (["all", "{shop}/images"], "error: catalogues: {shop}/images has neither products.csv"),
    ],
)
def test_what_is_asked_wrongly_is_told(
    shop: Path, models_dir: Path, cache: Path, tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    """A mistake ends with 2 and names itself, before anything is trained."""
    given = [each.replace("{shop}", str(shop)) for each in arguments]
    where = ["--output", str(tmp_path / "heads"), "--cache", str(cache)]
    result = CliRunner().invoke(app, ["train", *given, *where, "--models-dir", str(models_dir)])
    assert result.exit_code == 2
    assert complaint.replace("{shop}", str(shop)) in result.stderr
    assert not (tmp_path / "heads").exists()


def test_without_the_trainer_s_packages_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """An install without them says what to install, instead of a traceback."""
    monkeypatch.setitem(sys.modules, "services.trainer", None)
    result = CliRunner().invoke(app, ["train", "split", "shop"])
    assert result.exit_code == 1
    assert "vitrine[trainer]" in result.stderr

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from services.embedder import images, weights
from services.embedder.models import colour, colours
from services.embedder.models import triplet as served
from services.embedder.models.resnet50 import IMAGE_SIZE
from services.embedder.weights import Progress, Step
from services.mesh.errors import InvalidArgument
from services.mesh.models_dir import models_dir_default
from services.trainer import figures, seen, stage_lesson, training
from services.trainer.catalogues import Photo
from services.trainer.material import Material
from services.trainer.metric_lesson import MetricLesson
from services.trainer.recipes import CHECKPOINT, CLIP, COLOUR, MetricRecipe, ProbeRecipe, Schedule
from services.trainer.seen import Seen
from services.trainer.sources import Sources
from services.trainer.training import Data, Workshop
from tests.embedder import tiny_clip

CPU = torch.device("cpu")
SCHEDULE = Schedule(epochs=2, learning_rate=1e-3, weight_decay=0.01, patience=2)
TRIPLET = MetricRecipe(SCHEDULE, classes=3, photos=4)
PROBE = ProbeRecipe(SCHEDULE, batch=16, hidden_dim=8, least_photos=5)

MakeShop = Callable[[str], Workshop]


@pytest.fixture
def shop(tmp_path: Path, silent: Progress) -> MakeShop:
    """A workshop with this machine's models and an output folder of that name."""
    weights.pull(["resnet50"], models_dir_default(), silent)
    sources = Sources(models_dir_default(), tmp_path / "cache", silent, device="cpu")
    return lambda name: Workshop(sources, tmp_path / name, tmp_path / "work", CPU, resume=False)


@pytest.fixture
def data(doubled: Material) -> Data:
    """Sharp photos and thumbnails without nine held-out products."""
    held_out = {str(number) for number in range(0, 90, 10)}
    return training.prepared(doubled, CPU, validation_share=0.3, held_out=held_out)


def test_a_held_out_id_is_in_no_batch(data: Data) -> None:
    """Neither a held-out product's photo nor its thumbnail is trained on or validated with."""
    lesson = MetricLesson(data.train, data.validation, TRIPLET)
    drawn = set()
    for epoch in range(10):
        for batch in lesson._sampler.batches(np.random.default_rng(epoch)):
            drawn |= {data.train.photos[row].name for row in (*batch.rows, *batch.partners)}
    assert {name.split("/")[0] for name in drawn} == {"drawn", "thumbnails"}
    used = {name.split("/")[1] for name in drawn} | {Path(p.name).name for p in data.validation.photos}
    assert not used & {f"{number}.jpg" for number in range(0, 90, 10)}
    assert "9 products were held out" in data.note


def test_the_best_objective_is_exported_with_its_card(data: Data, shop: MakeShop) -> None:
    """Each objective has a row beside the trunk's own; the file is what the embedder serves."""
    bench = shop("heads")
    recipes = [replace(TRIPLET, objective="soft_margin"), TRIPLET]
    table = training.triplet(bench, data, recipes)
    assert list(table) == ["resnet50", "soft_margin", "mixed"]
    assert weights.trunk_of(bench.output / "triplet.safetensors") == bench.sources.trunk
    head = served.load(bench.output / "triplet.safetensors")
    assert head(torch.ones(1, 2048)).shape == (1, 128)
    card = json.loads((bench.output / "model_card.json").read_text())["files"]["triplet.safetensors"]
    best = max(recipes, key=lambda recipe: table[recipe.objective]["mAP@R by type"])
    assert card["recipes"]["triplet"]["objective"] == best.objective
    assert card["photos"] == data.train.counts()
    assert card["split"]["held out"] == 18
    log = (bench.output / "triplet.log.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in log] == [1, 2]
    with Image.open(bench.output / "triplet.curves.png") as picture:
        assert picture.width > 500
    bench.finish()
    assert not list(bench.work.iterdir())


def test_the_colour_head_is_what_the_embedder_serves(
    data: Data, shop: MakeShop, tmp_path: Path, photos: list[Photo]
) -> None:
    """Trained on drawn photos it tells their colours; histograms are cached, and the card says all of it."""
    for number, photo in enumerate(photos):
        picture = Image.new("RGB", (32, 32), "white")
        # Shades of a colour on different things, so that no two pictures are alike.
        shade = tuple(200 if name == photo.colour else number for name in ("Red", "Green", "Blue"))
        picture.paste(shade, (number % 9, 2, number % 9 + 9 + number % 5, 30))
        picture.save(tmp_path / photo.path)

    bench = shop("heads")
    ready = on_disk(data, tmp_path)
    schedule = replace(SCHEDULE, epochs=4, patience=4)
    recipe = replace(COLOUR, schedule=schedule, classes=3, photos=6)
    table = training.colour(bench, ready, recipe)
    assert list(table) == ["histograms", "colour"]
    assert table["colour"]["mAP@R by colour"] > 0.9
    assert weights.trunk_of(bench.output / "colour.safetensors") == bench.sources.trunk

    # The exported head, asked as the embedder asks it, gives the figures of the card.
    validation = ready.validation
    pixels = np.stack([images.decode(photo.read(), IMAGE_SIZE) for photo in validation.photos])
    counted = colours.histograms(torch.from_numpy(pixels))
    with torch.inference_mode():
        head = colour.load(bench.output / "colour.safetensors").eval()
        vectors = head(colour.joined(counted, validation.features.float()))
    assert vectors.shape == (len(validation.photos), colour.DIM)
    again = figures.of_images(vectors, validation.photos, "colour")
    assert again == pytest.approx(table["colour"], abs=0.02)

    card = json.loads((bench.output / "model_card.json").read_text())["files"]["colour.safetensors"]
    assert card["models"] == {"trunk": bench.sources.trunk}
    assert card["recipes"]["colour"]["labels"] == ["colour"]
    assert card["figures"]["colour"] == table["colour"]
    assert (card["curves"], card["split"]["held out"]) == (["colour.curves.png"], 18)
    assert len(list((tmp_path / "cache").glob("*/*.npy"))) == 2


def test_an_unfinished_colour_head_is_gone_on_with(
    data: Data, shop: MakeShop, tmp_path: Path, photos: list[Photo]
) -> None:
    """After a kill neither histograms are counted nor epochs trained that were already."""
    for number, photo in enumerate(photos):
        Image.new("RGB", (16, 16), (number, 100, 200)).save(tmp_path / photo.path)
    ready = on_disk(data, tmp_path)
    recipe = replace(COLOUR, schedule=SCHEDULE, classes=3, photos=6)
    steps: list[Step] = []
    bench = shop("heads")
    bench.sources.progress = steps.append
    once = training.colour(bench, ready, recipe)
    assert any(step.doing.startswith("epoch") for step in steps)
    for photo in photos:
        content = (tmp_path / photo.path).read_bytes()
        # As long as before, so that the cache takes it for the same; whoever decodes it fails.
        (tmp_path / photo.path).write_bytes(bytes(len(content)))
    steps.clear()
    assert training.colour(replace(bench, resume=True), ready, recipe) == once
    assert not any(step.doing.startswith("epoch") for step in steps)


def test_the_last_stage_is_exported_with_its_head(
    data: Data, shop: MakeShop, tmp_path: Path, photos: list[Photo], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Head and stage are one file, with figures, recipe and curves of both lessons."""
    # Smaller pictures take a fraction of the time.
    monkeypatch.setattr(stage_lesson, "IMAGE_SIZE", 96)
    for number, photo in enumerate(photos):
        picture = Image.new("RGB", (32, 32), "white")
        picture.paste(photo.colour, (number % 9, 2, number % 9 + 9, 30))
        picture.save(tmp_path / photo.path)

    def few(material: Material, count: int) -> Material:
        taken = material.take(np.arange(count))
        return replace(
            taken, photos=tuple(replace(photo, path=tmp_path / photo.path) for photo in taken.photos)
        )

    bench = shop("heads")
    ready = replace(data, train=few(data.train, 24), validation=few(data.validation, 12))
    schedule = replace(SCHEDULE, epochs=1, learning_rate=1e-5)
    table = training.triplet(bench, ready, [replace(TRIPLET, photos=3)], last_stage=schedule)
    assert list(table) == ["resnet50", "mixed", "last_stage"]
    assert weights.trunk_of(bench.output / "triplet.safetensors") == bench.sources.trunk
    head = served.load(bench.output / "triplet.safetensors")
    assert isinstance(head, served.TunedHead)
    assert head(torch.ones(1, 1024, 14, 14)).shape == (1, 128)
    card = json.loads((bench.output / "model_card.json").read_text())["files"]["triplet.safetensors"]
    assert card["recipes"]["last_stage"]["schedule"]["learning_rate"] == 1e-5
    assert {path.name for path in bench.output.glob("*.png")} == {
        "triplet.triplet.curves.png",
        "triplet.last_stage.curves.png",
    }
    bench.finish()
    assert not list(bench.work.iterdir())


def test_probes_are_evaluated_with_numpy_alone(data: Data, shop: MakeShop) -> None:
    """The file says what it takes and gives; its probabilities name the right gender."""
    bench = shop("probes")
    recipe = replace(PROBE, schedule=replace(SCHEDULE, epochs=8, patience=8))
    linear = replace(recipe, hidden_dim=0)
    table = training.probes(bench, data, {"gender": recipe, "category": linear}, ["resnet50"])
    with safe_open(bench.output / "probes.safetensors", framework="numpy") as file:
        tensors = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118 - no mapping
        described = json.loads(file.metadata()["probes"])
    (space,) = described["inputs"]
    assert (space["space"], space["dim"]) == ("resnet50", 2048)
    assert space["digest"] == bench.sources.digest("resnet50")
    assert described["tasks"]["category"]["labels"] == ["Handbags", "Jeans", "Shirts"]
    assert described["tasks"]["gender"]["ece"] == table["gender"]["ECE after"]
    features = data.validation.features.float().numpy()
    x = features / np.linalg.norm(features, axis=1, keepdims=True)
    for task, label in (("gender", "gender"), ("category", "category")):
        found = described["tasks"][task]
        predicted = np.array(found["labels"])[(_scores(tensors, task, x) / found["temperature"]).argmax(1)]
        right = np.array([getattr(photo, label) for photo in data.validation.photos])
        assert (predicted == right).mean() == pytest.approx(table[task]["accuracy"], abs=0.02)
        assert (predicted == right).mean() > 0.9
    assert {path.name for path in bench.output.glob("*.png")} == {
        "probes.gender.curves.png",
        "probes.category.curves.png",
    }


def test_the_photos_trained_on_are_noted(data: Data, tmp_path: Path) -> None:
    """Those to train and to validate with are known again, held-out ones are not; earlier ones stay."""
    photos = []
    for photo in data.photos:
        path = tmp_path / photo.catalogue / photo.path
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(photo.name.encode())
        photos.append(replace(photo, path=path))
    Seen.of([1]).save(tmp_path / seen.FILE)
    training.note_seen(replace(data, photos=tuple(photos)), tmp_path, anew=False)
    assert Seen.load(tmp_path / seen.FILE).count(np.array([1], dtype=np.uint64)) == 1
    training.note_seen(replace(data, photos=tuple(photos)), tmp_path, anew=True)
    known = Seen.load(tmp_path / seen.FILE)
    assert known.count(np.array([1], dtype=np.uint64)) == 0
    digests = np.array([seen.digest_of(photo.read()) for photo in photos], dtype=np.uint64)
    assert known.count(digests) == len(data.split.train) + len(data.split.validation)
    assert known.count(digests[data.split.held_out]) == 0


def test_what_a_shop_does_not_state_gets_no_probe(data: Data, shop: MakeShop) -> None:
    """A task without words is left out and told, and refused where no other is left."""

    def nameless(material: Material) -> Material:
        return replace(material, photos=tuple(replace(photo, gender="") for photo in material.photos))

    bench = shop("probes")
    mute = replace(data, train=nameless(data.train), validation=nameless(data.validation))
    recipe = replace(PROBE, least_photos=2)
    table = training.probes(bench, mute, {"gender": recipe, "category": recipe}, ["resnet50"])
    assert set(table) == {"category"}
    with pytest.raises(InvalidArgument) as refused:
        training.probes(bench, mute, {"gender": recipe}, ["resnet50"])
    assert refused.value.field == "labels"


def test_photos_of_which_nothing_is_said_train_no_dual_encoder(data: Data, shop: MakeShop) -> None:
    """Without a title or a label there is no caption, and that is told."""

    def wordless(material: Material) -> Material:
        return replace(material, caption_rows=tuple(rows[:0] for rows in material.caption_rows))

    mute = replace(data, train=wordless(data.train), validation=wordless(data.validation))
    with pytest.raises(InvalidArgument) as refused:
        training.clip(shop("clip"), mute, replace(CLIP, schedule=SCHEDULE))
    assert refused.value.field == "catalogues"


def test_a_tuned_checkpoint_is_one_that_can_be_pulled(
    data: Data, shop: MakeShop, tmp_path: Path, photos: list[Photo]
) -> None:
    """It has the architecture's tensors, and figures from before and after."""
    path = tiny_clip.write(tmp_path / "tiny.safetensors", seed=0)
    for photo in photos:
        colour = hashlib.sha256(photo.colour.encode()).digest()
        Image.new("RGB", (32, 32), (colour[0], colour[1], colour[2])).save(tmp_path / photo.path)

    bench = shop("clip")
    ready = on_disk(data, tmp_path)
    recipe = replace(CHECKPOINT, schedule=SCHEDULE, batch=32)
    table = training.checkpoint(bench, ready, tiny_clip.ARCHITECTURE, path, recipe)
    assert list(table) == ["before", "after"]
    with safe_open(path, "pt") as before, safe_open(bench.output / "clip.safetensors", "pt") as after:
        assert set(before.keys()) == set(after.keys())
        assert after.metadata() == {"architecture": tiny_clip.ARCHITECTURE}


def on_disk(data: Data, folder: Path) -> Data:
    """The same with the pictures of its photos in a folder."""

    def moved(photos: tuple[Photo, ...]) -> tuple[Photo, ...]:
        return tuple(replace(photo, path=folder / photo.path) for photo in photos)

    return replace(
        data,
        photos=moved(data.photos),
        train=replace(data.train, photos=moved(data.train.photos)),
        validation=replace(data.validation, photos=moved(data.validation.photos)),
    )


def _scores(
    tensors: dict[str, npt.NDArray[np.float32]], task: str, x: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    if f"{task}.hidden.weight" in tensors:
        hidden = torch.from_numpy(x @ tensors[f"{task}.hidden.weight"].T + tensors[f"{task}.hidden.bias"])
        x = torch.nn.functional.gelu(hidden, approximate="tanh").numpy()
    scores: npt.NDArray[np.float32] = x @ tensors[f"{task}.out.weight"].T + tensors[f"{task}.out.bias"]
    return scores

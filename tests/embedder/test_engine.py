from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from services.embedder import images, towers, weights
from services.embedder.engine import Engine, name_of
from services.embedder.models import resnet50
from services.mesh.errors import FailedPrecondition, InvalidArgument
from tests.embedder import drawings, tiny_clip


@pytest.fixture(scope="module")
def pixels(engine: Engine) -> images.Pixels:
    drawn = (drawings.clock(), drawings.envelope(), drawings.crossword())
    return np.stack([images.decode(drawings.encoded(picture), engine.image_size) for picture in drawn])


def test_every_space_is_available(engine: Engine) -> None:
    """With pulled and shipped weights all spaces are there, each with its own digest."""
    spaces = {space.name: space for space in engine.spaces}
    assert {name: space.dim for name, space in spaces.items()} == {
        "resnet50": 2048,
        "triplet": 128,
        "colour": 64,
        "clip": 512,
    }
    assert not any(space.unavailable_reason for space in spaces.values())
    assert len({space.digest for space in spaces.values()}) == 4
    assert [space.name for space in spaces.values() if space.accepts_text] == ["clip"]


def test_pictures_get_a_unit_vector_in_every_space(engine: Engine, pixels: images.Pixels) -> None:
    """Vectors are float32, L2-normalised, and those of different pictures differ."""
    for name, vectors in engine.embed_images(pixels).items():
        assert vectors.dtype == np.float32
        assert vectors.shape == (3, {space.name: space.dim for space in engine.spaces}[name])
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        assert (vectors @ vectors.T)[~np.eye(3, dtype=bool)].max() < 0.98


def test_the_trunk_runs_once(engine: Engine, pixels: images.Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many spaces stand on the trunk, a picture passes it once."""
    passes: list[int] = []
    original = resnet50.ResNet50.below

    def counted(self: resnet50.ResNet50, batch: torch.Tensor) -> torch.Tensor:
        passes.append(len(batch))
        return original(self, batch)

    monkeypatch.setattr(resnet50.ResNet50, "below", counted)
    assert engine.embed_images(pixels, ["resnet50", "triplet", "resnet50"]).keys() == {"resnet50", "triplet"}
    assert passes == [3]


def test_large_batches_are_cut(
    engine: Engine, pixels: images.Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch larger than one pass gives the same vectors in the same order."""
    whole = engine.embed_images(pixels, ["triplet"])["triplet"]
    texts = engine.embed_texts(["red shoes", "jeans", "bag"])["clip"]
    monkeypatch.setattr(engine, "pass_items", 2)
    np.testing.assert_allclose(engine.embed_images(pixels, ["triplet"])["triplet"], whole, atol=1e-4)
    np.testing.assert_allclose(engine.embed_texts(["red shoes", "jeans", "bag"])["clip"], texts, atol=1e-4)


def test_words_find_their_picture(engine: Engine, pixels: images.Pixels) -> None:
    """The name of a thing is nearest to the picture of it, clothes or not."""
    pictures = engine.embed_images(pixels, ["clip"])["clip"]
    words = engine.embed_texts(["a clock", "an envelope", "a crossword puzzle"], ["clip"])["clip"]
    assert (words @ pictures.T).argmax(axis=1).tolist() == [0, 1, 2]
    assert engine.softmax_scale("clip") > 1


@pytest.mark.parametrize("spaces", [["yolo"], ["resnet50", "yolo"]])
def test_unknown_spaces_are_refused(engine: Engine, pixels: images.Pixels, spaces: list[str]) -> None:
    """A space nobody knows is the caller's mistake."""
    with pytest.raises(InvalidArgument, match="yolo") as caught:
        engine.embed_images(pixels, spaces)
    assert caught.value.field == "spaces"


def test_a_space_without_a_text_tower_takes_no_text(engine: Engine) -> None:
    """ResNet50 does not read."""
    with pytest.raises(InvalidArgument, match="takes no text"):
        engine.embed_texts(["red shoes"], ["resnet50"])


def test_missing_weights_make_spaces_unavailable(tmp_path: Path, pixels: images.Pixels) -> None:
    """Without weights every space is listed with the command that fetches them, and nothing is computed."""
    bare = Engine(tmp_path)
    assert all("vitrine models pull" in space.unavailable_reason for space in bare.spaces)
    assert not any(space.digest for space in bare.spaces)
    for names, message in (["resnet50"], "vitrine models pull"), ([], "no space has its weights"):
        with pytest.raises(FailedPrecondition, match=message) as caught:
            bare.embed_images(pixels, names)
        assert caught.value.reason == towers.WEIGHTS_MISSING


def test_two_generations_of_a_space_answer_side_by_side(
    models_dir: Path, tmp_path: Path, pixels: images.Pixels
) -> None:
    """The first directory's model is the default; another's is asked for by its digest."""
    (tmp_path / "heads").mkdir()
    for name in weights.MODELS:
        (tmp_path / name).symlink_to(models_dir / name)
    shipped = weights.HEADS_DIR / "triplet.safetensors"
    tensors = {name: -tensor for name, tensor in load_file(shipped).items()}
    save_file(tensors, tmp_path / "heads" / shipped.name, {"trunk": weights.trunk_of(shipped)})
    both = Engine(models_dir, tmp_path)
    new, old = (space for space in both.spaces if space.name == "triplet")
    assert (new.default, old.default) == (True, False)
    names = ["triplet", f"triplet@{old.digest[:12]}"]
    vectors = both.embed_images(pixels, names)
    assert list(vectors) == ["triplet", f"triplet@{old.digest}"] == [name_of(new), name_of(old)]
    first, second = vectors.values()
    assert first.shape == second.shape
    assert np.abs(first - second).max() > 0.01


def test_passes_at_once_give_what_they_give_alone(engine: Engine, pixels: images.Pixels) -> None:
    """Several threads may compute at the same time and share the cores."""
    alone = engine.embed_images(pixels, ["triplet"])["triplet"]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: engine.embed_images(pixels, ["triplet"])["triplet"], range(8)))
    for vectors in found:
        assert (vectors * alone).sum(axis=1).min() > 0.999


def test_a_head_of_another_trunk_is_not_used(models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads serve only on the trunk they were trained on."""
    monkeypatch.setattr(weights, "trunk_of", lambda path: "0" * 64)
    reasons = {space.name: space.unavailable_reason for space in Engine(models_dir).spaces}
    assert reasons["resnet50"] == ""
    assert "was trained on trunk 000000000000" in reasons["triplet"]
    assert "was trained on trunk 000000000000" in reasons["clip"]


def test_a_local_clip_checkpoint_takes_over_the_space(tmp_path: Path, pixels: images.Pixels) -> None:
    """A checkpoint of an open_clip architecture, once pulled, is the space `clip`, alone if need be."""
    checkpoint = tiny_clip.write(tmp_path / "mine.safetensors", seed=0)
    given = {"clip": f"{tiny_clip.ARCHITECTURE}:{checkpoint}"}
    weights.pull(["clip"], tmp_path / "models", lambda step: None, given=given)
    engine = Engine(tmp_path / "models")
    assert [space.name for space in engine.spaces if not space.unavailable_reason] == ["clip"]
    assert engine.embed_images(pixels)["clip"].shape == (3, tiny_clip.DIM)
    assert engine.embed_texts(["red shoes"])["clip"].shape == (1, tiny_clip.DIM)


def test_pictures_are_resized_for_a_smaller_tower() -> None:
    """A tower that looks at smaller squares than the engine gets them."""
    batch = towers.Batch(torch.full((1, 8, 8, 3), 200, dtype=torch.uint8))
    small = batch.sized(4)
    assert small.dtype is torch.uint8
    assert small.shape == (1, 4, 4, 3)
    assert bool((small == 200).all())

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from services.embedder import towers, weights
from services.embedder.devices import Placement
from services.embedder.models import resnet50
from services.embedder.towers import Batch, Towers
from tests.embedder import tiny_clip

CPU = Placement(torch.device("cpu"), torch.float32)
NAMES = ["resnet50", "triplet", "colour", "clip"]


@pytest.fixture
def retrained(models_dir: Path, tmp_path: Path) -> Path:
    """A models directory of the same trunk and text tower with a triplet head of its own."""
    directory = tmp_path / "retrained"
    (directory / "heads").mkdir(parents=True)
    for name in weights.MODELS:
        (directory / name).symlink_to(models_dir / name)
    shipped = weights.HEADS_DIR / "triplet.safetensors"
    tensors = {name: -tensor for name, tensor in load_file(shipped).items()}
    save_file(tensors, directory / "heads" / shipped.name, {"trunk": weights.trunk_of(shipped)})
    return directory


def embed(model: Towers) -> torch.Tensor:
    assert model.images is not None
    pixels = torch.randint(0, 256, (2, 224, 224, 3), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return model.images(Batch(pixels.to(torch.uint8)))


def test_a_space_tells_what_its_model_does_and_takes(models_dir: Path) -> None:
    """What is done to a picture is told, and memory counts the trunk for each that stands on it."""
    loaded = {each.space.name: each.space for each in towers.load([models_dir], CPU)}
    assert list(loaded) == NAMES
    trunk = resnet50.load(models_dir / "resnet50" / "model.safetensors")
    trunk_bytes = sum(4 * parameter.numel() for parameter in trunk.parameters())
    assert loaded["resnet50"].memory_bytes == trunk_bytes
    assert trunk_bytes < loaded["triplet"].memory_bytes < loaded["clip"].memory_bytes
    for space in loaded.values():
        assert space.preprocessing == resnet50.V1.preprocessing
        assert space.default
        assert (space.device, space.dtype) == ("cpu", "float32")


def test_two_generations_of_a_space_stand_side_by_side(models_dir: Path, retrained: Path) -> None:
    """A second directory adds what differs: its head is another model of the space, its trunk the same."""
    loaded = towers.load([models_dir, retrained], CPU)
    assert [(each.space.name, each.space.default) for each in loaded] == [
        *((name, True) for name in NAMES),
        ("triplet", False),
    ]
    old, new = loaded[1], loaded[-1]
    assert old.space.digest != new.space.digest
    assert not torch.allclose(embed(old), embed(new), atol=0.1)


def test_generations_share_their_trunk(
    models_dir: Path, retrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of the same digest is loaded once, and a picture passes the trunk once for both generations."""
    paths: list[Path] = []
    load = resnet50.load

    def noted(path: Path) -> resnet50.ResNet50:
        paths.append(path)
        return load(path)

    monkeypatch.setattr(resnet50, "load", noted)
    loaded = towers.load([models_dir, retrained], CPU)
    assert paths == [models_dir / "resnet50" / "model.safetensors"]
    passes: list[int] = []
    below = resnet50.ResNet50.below

    def counted(self: resnet50.ResNet50, images: torch.Tensor) -> torch.Tensor:
        passes.append(len(images))
        return below(self, images)

    monkeypatch.setattr(resnet50.ResNet50, "below", counted)
    batch = Batch(torch.zeros(2, 224, 224, 3, dtype=torch.uint8))
    for each in loaded:
        assert each.images is not None
        each.images(batch)
    assert passes == [2]


def test_the_first_directory_has_the_defaults(models_dir: Path, retrained: Path) -> None:
    """Which generation the bare name means is a matter of order, and an own head wins over the shipped."""
    first, *_, other = (each.space for each in towers.load([retrained, models_dir], CPU))
    assert first.default
    assert (other.name, other.default) == ("triplet", False)
    assert other.digest == towers.load([models_dir], CPU)[1].space.digest


def test_the_same_models_twice_are_the_same_models(models_dir: Path) -> None:
    """A directory named twice adds nothing."""
    assert len(towers.load([models_dir, models_dir], CPU)) == len(NAMES)


def test_what_a_further_directory_lacks_is_told_and_shadows_nothing(models_dir: Path, tmp_path: Path) -> None:
    """The defaults stay available beside the reasons for what is missing."""
    loaded = [each.space for each in towers.load([models_dir, tmp_path], CPU)]
    assert [space.default for space in loaded] == [True] * len(NAMES) + [False] * len(NAMES)
    assert [bool(space.unavailable_reason) for space in loaded] == [False] * len(NAMES) + [True] * len(NAMES)
    assert all(str(tmp_path) in space.unavailable_reason for space in loaded[len(NAMES) :])


def test_a_further_directory_does_not_become_the_default(models_dir: Path, tmp_path: Path) -> None:
    """A space that the first directory lacks is not silently another directory's."""
    loaded = [each.space for each in towers.load([tmp_path, models_dir], CPU)]
    assert [(space.default, bool(space.digest)) for space in loaded] == [(True, False)] * len(NAMES) + [
        (False, True)
    ] * len(NAMES)


@pytest.mark.parametrize(("torn", "message"), [(b"torn", "is damaged"), (None, "does not fit")])
def test_a_head_that_cannot_be_used_is_told(retrained: Path, torn: bytes | None, message: str) -> None:
    """An own head that is cut off or of another shape makes its space unavailable, not the process."""
    head = retrained / "heads" / "triplet.safetensors"
    trunk = weights.trunk_of(head)
    if torn is None:
        save_file({"linear.weight": torch.zeros(2, 2)}, head, {"trunk": trunk})
    else:
        head.write_bytes(torn)
    reasons = {each.space.name: each.space.unavailable_reason for each in towers.load([retrained], CPU)}
    assert message in reasons["triplet"]
    assert reasons["resnet50"] == reasons["clip"] == ""


def test_pictures_are_resized_once_for_each_size() -> None:
    """A tower that looks at smaller squares gets them, and another of that size the same ones."""
    batch = Batch(torch.full((1, 8, 8, 3), 200, dtype=torch.uint8))
    small = batch.sized(4)
    assert small.dtype is torch.uint8
    assert small.shape == (1, 4, 4, 3)
    assert bool((small == 200).all())
    assert batch.sized(4) is small


def test_a_survey_tells_what_would_be_loaded(
    models_dir: Path, retrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Digests and reasons are those of `load`, and no model is loaded for them."""
    for directory in (models_dir, retrained, tmp_path):
        loaded = [each.space for each in towers.load([directory], CPU)]
        with monkeypatch.context() as patch:
            patch.setattr(resnet50, "load", None)
            surveyed = towers.survey(directory, thorough=True)
        assert [(space.name, space.model, space.digest, space.unavailable_reason) for space in surveyed] == [
            (space.name, space.model, space.digest, space.unavailable_reason) for space in loaded
        ]


def test_two_checkpoints_of_a_space_stand_side_by_side(tmp_path: Path) -> None:
    """Two generations of an image-text model of open_clip are two models that read and look."""
    for seed in (0, 1):
        checkpoint = tiny_clip.write(tmp_path / f"{seed}.safetensors", seed=seed)
        given = {"clip": f"{tiny_clip.ARCHITECTURE}:{checkpoint}"}
        weights.pull(["clip"], tmp_path / str(seed), lambda step: None, given=given)
    loaded = towers.load([tmp_path / "0", tmp_path / "1"], CPU)
    old, new = (each for each in loaded if not each.space.unavailable_reason)
    assert [each.space.name for each in (old, new)] == ["clip", "clip"]
    assert old.space.digest != new.space.digest
    assert old.space.preprocessing is not None
    assert (old.space.dim, old.image_size) == (tiny_clip.DIM, 32)
    # The published figures of OpenAI's models, for pixels up to 255.
    assert old.space.preprocessing.mean == pytest.approx((122.77, 116.75, 104.09), abs=0.01)
    assert old.space.memory_bytes > 49408 * 16 * 4
    assert not torch.allclose(embed(old), embed(new), atol=0.01)
    assert old.texts is not None
    assert old.texts(["red shoes"]).shape == (1, tiny_clip.DIM)

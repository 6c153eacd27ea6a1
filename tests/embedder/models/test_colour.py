from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from services.embedder import towers, weights
from services.embedder.devices import Placement
from services.embedder.models import colour, colours, resnet50
from services.embedder.towers import Batch, Towers
from services.mesh.errors import FailedPrecondition
from tests.drawings import draw

SHIPPED = weights.HEADS_DIR / colour.FILE
PLACEMENT = Placement(torch.device("cpu"), torch.float32)

KINDS = ("Shirts", "Shoes", "Handbags", "Dresses")
NAMES = ("Red", "Blue", "Green", "Yellow")


@pytest.fixture(scope="module")
def spaces(models_dir: Path) -> dict[str, Towers]:
    return {each.space.name: each for each in towers.load([models_dir], PLACEMENT)}


@pytest.fixture
def own_models(models_dir: Path, tmp_path: Path) -> Path:
    """A models directory with the machine's trunk and an empty folder for heads of its own."""
    (tmp_path / "heads").mkdir()
    (tmp_path / "resnet50").symlink_to(models_dir / "resnet50")
    return tmp_path


def batch(*pictures: Image.Image) -> Batch:
    side = resnet50.IMAGE_SIZE
    return Batch(torch.from_numpy(np.stack([np.array(each.resize((side, side))) for each in pictures])))


def embed(tower: Towers, pictures: Batch) -> Tensor:
    assert tower.images is not None
    with torch.inference_mode():
        return tower.images(pictures)


def reason(models_dir: Path) -> str:
    """Why the space is unavailable."""
    found = {each.space.name: each for each in towers.load([models_dir], PLACEMENT)}
    assert found["resnet50"].space.unavailable_reason == ""
    assert found["colour"].images is None
    return found["colour"].space.unavailable_reason


def test_colour_counts_and_kind_does_not(spaces: dict[str, Towers]) -> None:
    """A red shirt is nearer to a red shoe than to a blue shirt, as is every kind in every colour."""
    things = list(itertools.product(KINDS, NAMES))
    vectors = embed(spaces["colour"], batch(*(draw(kind, name) for kind, name in things)))
    cosines = dict(
        zip(itertools.product(things, things), (vectors @ vectors.T).flatten().tolist(), strict=True)
    )
    for (kind, name), other_kind, other_name in itertools.product(things, KINDS, NAMES):
        if other_kind != kind and other_name != name:
            same_colour = cosines[(kind, name), (other_kind, name)]
            same_kind = cosines[(kind, name), (kind, other_name)]
            assert same_colour > same_kind, (kind, name, other_kind, other_name)


def test_vectors_are_of_length_one_and_do_not_depend_on_their_company(spaces: dict[str, Towers]) -> None:
    """Float32 unit vectors of 64 numbers, the same in a batch as alone."""
    pictures = [draw("Shirts", "Red"), draw("Shoes", "White"), draw("Dresses", "Black")]
    together = embed(spaces["colour"], batch(*pictures))
    alone = torch.cat([embed(spaces["colour"], batch(each)) for each in pictures])
    assert together.shape == (3, colour.DIM)
    assert together.dtype is torch.float32
    torch.testing.assert_close(together.norm(dim=1), torch.ones(3))
    assert (together * alone).sum(dim=1).min() > 0.9999


def test_the_trunk_s_features_are_shared(spaces: dict[str, Towers]) -> None:
    """A picture that was looked at in `resnet50` has the very vector that it has without."""
    shared = batch(draw("Shirts", "Red"))
    embed(spaces["resnet50"], shared)
    assert torch.equal(embed(spaces["colour"], shared), embed(spaces["colour"], batch(draw("Shirts", "Red"))))


def test_both_inputs_weigh_the_same() -> None:
    """However long the trunk's features are, they are as long as the histogram."""
    histograms = colours.histograms(torch.randint(0, 256, (2, 56, 56, 3), dtype=torch.uint8))
    joined = colour.joined(histograms, 37 * torch.rand(2, resnet50.DIM))
    assert joined.shape == (2, colour.IN_DIM)
    for part in joined.split([colours.DIM, resnet50.DIM], dim=1):
        torch.testing.assert_close(part.norm(dim=1), torch.ones(2))


def test_a_head_of_another_trunk_is_unavailable(own_models: Path) -> None:
    """Features of a trunk that it was not trained on would mean nothing to it: the reason names both."""
    trunk = weights.trunk_of(SHIPPED)
    save_file(load_file(SHIPPED), own_models / "heads" / colour.FILE, {"trunk": "0" * 64})
    said = reason(own_models)
    assert f"{colour.FILE} was trained on trunk 000000000000, here is {trunk[:12]}" in said
    assert weights.TRAIN_COMMAND in said


def test_a_head_that_does_not_fit_is_unavailable(own_models: Path) -> None:
    """A file with tensors of other shapes says so, and random weights never stand in."""
    tensors = {name: each[:1] for name, each in load_file(SHIPPED).items()}
    save_file(tensors, own_models / "heads" / colour.FILE, {"trunk": weights.trunk_of(SHIPPED)})
    assert f"{colour.FILE} does not fit" in reason(own_models)


def test_a_missing_file_is_no_head(tmp_path: Path) -> None:
    """What is not there is not loaded, and neither is what holds something else."""
    with pytest.raises(FileNotFoundError):
        colour.load(tmp_path / colour.FILE)
    save_file({"weight": torch.zeros(1)}, tmp_path / colour.FILE)
    with pytest.raises(FailedPrecondition, match="does not fit"):
        colour.load(tmp_path / colour.FILE)

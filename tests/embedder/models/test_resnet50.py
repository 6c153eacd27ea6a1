from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from services.embedder import images
from services.embedder.models import resnet50
from services.mesh.errors import FailedPrecondition
from services.mesh.registries import sha256
from tests.embedder import drawings


@pytest.fixture(scope="module")
def trunk(models_dir: Path) -> resnet50.ResNet50:
    return resnet50.load(models_dir / "resnet50" / "model.safetensors")


@pytest.fixture(scope="module")
def labels(models_dir: Path) -> dict[str, str]:
    names: dict[str, str] = json.loads((models_dir / "resnet50" / "labels.json").read_text())
    return names


@pytest.mark.parametrize(
    ("draw", "label"),
    [
        (drawings.clock, "analog_clock"),
        (drawings.envelope, "envelope"),
        (drawings.crossword, "crossword_puzzle"),
    ],
)
def test_the_converted_network_knows_what_it_sees(
    trunk: resnet50.ResNet50, labels: dict[str, str], draw: drawings.Draw, label: str
) -> None:
    """The ImageNet class of a recognisable picture comes first, so conversion and input format are right."""
    pixels = images.decode(drawings.encoded(draw()), resnet50.IMAGE_SIZE)
    with torch.inference_mode():
        shares = trunk.logits(trunk(torch.from_numpy(np.stack([pixels])))).softmax(dim=1)[0]
    assert labels[str(int(shares.argmax()))] == label
    assert shares.max() > 0.5


def test_folding_changes_nothing() -> None:
    """A convolution with its normalisation folded in gives what Keras's two layers give."""
    random = np.random.default_rng(0)
    shapes = {
        "conv/kernel": (3, 3, 5, 7),
        "conv/bias": (7,),
        "norm/gamma": (7,),
        "norm/beta": (7,),
        "norm/moving_mean": (7,),
        "norm/moving_variance": (7,),
    }
    weights = {name: random.uniform(0.1, 1, shape).astype(np.float32) for name, shape in shapes.items()}
    tensors = {name: torch.from_numpy(array).double() for name, array in weights.items()}
    x = torch.randn(2, 5, 9, 9, dtype=torch.float64)
    kernel = tensors["conv/kernel"].permute(3, 2, 0, 1)
    plain = functional.batch_norm(
        functional.conv2d(x, kernel, tensors["conv/bias"]),
        tensors["norm/moving_mean"],
        tensors["norm/moving_variance"],
        tensors["norm/gamma"],
        tensors["norm/beta"],
        eps=1e-3,
    )
    folded_kernel, folded_bias = resnet50._fold(weights, "conv", "norm", 1e-3)
    folded = functional.conv2d(
        x, torch.from_numpy(folded_kernel.transpose(3, 2, 0, 1).copy()), torch.from_numpy(folded_bias)
    )
    torch.testing.assert_close(folded, plain)


def test_shards_must_fit_their_description(tmp_path: Path) -> None:
    """Shards that hold more than model.json describes are refused."""
    (tmp_path / "shard.bin").write_bytes(bytes(16))
    group = {"paths": ["shard.bin"], "weights": [{"name": "a", "shape": [3]}]}
    with pytest.raises(ValueError, match=r"16 bytes where model\.json describes 12"):
        resnet50._read_shards(tmp_path, {"weightsManifest": [group]})


def test_a_batch_gives_what_single_pictures_give(trunk: resnet50.ResNet50) -> None:
    """Features do not depend on the company a picture is in."""
    pixels = torch.randint(0, 256, (3, 224, 224, 3), dtype=torch.uint8)
    with torch.inference_mode():
        together = trunk(pixels)
        alone = torch.cat([trunk(pixels[row : row + 1]) for row in range(3)])
    assert together.shape == (3, resnet50.DIM)
    assert functional.cosine_similarity(together, alone).min() > 0.99999


@pytest.mark.parametrize("variant", resnet50.VARIANTS.values(), ids=list(resnet50.VARIANTS))
def test_the_last_stage_by_itself_gives_what_it_gives_within(variant: resnet50.Variant) -> None:
    """A copy can be changed without the trunk, and neither of them changes the maps, packed or not."""
    torch.manual_seed(0)
    model = resnet50.ResNet50(variant).eval().requires_grad_(requires_grad=False)
    stage = model.last_stage()
    assert all(parameter.requires_grad for parameter in stage.parameters())
    maps = torch.rand(2, 1024, 14, 14).to(memory_format=torch.channels_last)
    before = maps.clone()
    with torch.inference_mode():
        wanted = model.pooled(maps)
        torch.testing.assert_close(stage(maps), wanted)
        stage.pack()
        torch.testing.assert_close(stage(maps), wanted, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(model.tuned().pooled(maps), wanted, rtol=1e-4, atol=1e-5)
    assert stage.dtype is torch.float32
    assert torch.equal(maps, before)


def test_a_missing_file_is_no_model(tmp_path: Path) -> None:
    """There is no network with random weights."""
    with pytest.raises(FileNotFoundError):
        resnet50.load(tmp_path / "model.safetensors")


def test_the_same_bytes_are_the_same_model(models_dir: Path, tmp_path: Path) -> None:
    """A file in our layout is installed as it is; by its directory, the names of its classes are too."""
    original = models_dir / "resnet50"
    for source, files in (
        (original, ["labels.json", "model.safetensors"]),
        (original / resnet50.FILE, ["model.safetensors"]),
    ):
        folder = tmp_path / source.name
        folder.mkdir()
        resnet50.install(source, folder)
        assert sorted(path.name for path in folder.iterdir()) == files
        assert sha256(folder / resnet50.FILE) == sha256(original / resnet50.FILE)


def test_other_files_are_refused(tmp_path: Path, trunk: resnet50.ResNet50) -> None:
    """No file, other tensors, a variant nobody knows, and torch files whose variant nobody can tell."""
    file = tmp_path / "mine.safetensors"
    with pytest.raises(FailedPrecondition, match="there is no such file"):
        resnet50.install(tmp_path, tmp_path)
    save_file({"weight": torch.zeros(1)}, file)
    with pytest.raises(FailedPrecondition, match="Missing key"):
        resnet50.install(file, tmp_path)
    save_file({"weight": torch.zeros(1)}, file, {"variant": "v2"})
    with pytest.raises(FailedPrecondition, match=r"no variant 'v2', there are v1, v1\.5"):
        resnet50.install(file, tmp_path)
    torch.save(trunk.state_dict(), tmp_path / "mine.pt")
    with pytest.raises(FailedPrecondition, match="wanted torchvision's tensors"):
        resnet50.install(tmp_path / "mine.pt", tmp_path)
    assert not (tmp_path / resnet50.FILE).exists()

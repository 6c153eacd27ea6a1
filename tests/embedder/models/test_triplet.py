from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from services.embedder import towers, weights
from services.embedder.devices import Placement
from services.embedder.models import resnet50, triplet
from services.embedder.models.resnet50 import Bottleneck, ResNet50
from services.embedder.models.triplet import TunedHead
from services.embedder.towers import Batch, Towers

SHIPPED = weights.HEADS_DIR / "triplet.safetensors"

Write = Callable[[dict[str, Tensor]], Path]


@pytest.fixture(scope="module")
def stage(models_dir: Path) -> dict[str, Tensor]:
    """The trunk's own last stage, as the trainer would write it."""
    plain = resnet50.load(models_dir / "resnet50" / resnet50.FILE)
    return {f"stage.{name}": each.half() for name, each in plain.last_stage().state_dict().items()}


@pytest.fixture
def write(models_dir: Path, tmp_path: Path) -> Write:
    """Makes a models directory of the same trunk whose triplet head has these tensors besides the shipped."""

    def written(stage: dict[str, Tensor]) -> Path:
        (tmp_path / "heads").mkdir()
        (tmp_path / "resnet50").symlink_to(models_dir / "resnet50")
        tensors = {**load_file(SHIPPED), **stage}
        save_file(tensors, tmp_path / "heads" / SHIPPED.name, {"trunk": weights.trunk_of(SHIPPED)})
        return tmp_path

    return written


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    """Soft blobs: activations as photos have them."""
    coarse = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    smooth = functional.interpolate(coarse, size=(224, 224), mode="bicubic").clamp(0, 1)
    return (smooth * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def found(models_dir: Path, dtype: torch.dtype) -> dict[str, Towers]:
    """The towers of a directory by their space, on the CPU."""
    placement = Placement(torch.device("cpu"), dtype)
    return {each.space.name: each for each in towers.load([models_dir], placement)}


def embed(tower: Towers, batch: Batch) -> Tensor:
    assert tower.images is not None
    with torch.inference_mode():
        return tower.images(batch)


@pytest.mark.parametrize(("dtype", "least"), [(torch.float32, 0.99999), (torch.bfloat16, 0.999)])
def test_a_stage_like_the_trunk_s_changes_nothing(
    models_dir: Path,
    write: Write,
    stage: dict[str, Tensor],
    pixels: Tensor,
    dtype: torch.dtype,
    least: float,
) -> None:
    """Untuned, it gives what the plain head gives of pooled features, in the trunk's dtype."""
    plain, own = found(models_dir, dtype), found(write(stage), dtype)
    assert own["triplet"].space.dtype == plain["triplet"].space.dtype == str(dtype).removeprefix("torch.")
    assert own["triplet"].space.digest != plain["triplet"].space.digest
    assert own["triplet"].space.memory_bytes > plain["triplet"].space.memory_bytes
    vectors = [embed(each["triplet"], Batch(pixels)) for each in (plain, own)]
    assert vectors[1].dtype is torch.float32
    assert vectors[1].shape == (3, triplet.DIM)
    assert (vectors[0] * vectors[1]).sum(dim=1).min() > least


def test_a_tuned_stage_changes_its_own_space_alone(
    models_dir: Path, write: Write, stage: dict[str, Tensor], pixels: Tensor
) -> None:
    """The trunk's other spaces have the very same vectors, in whatever order they are asked."""
    torch.manual_seed(0)
    noisy = {name: each + 0.02 * torch.randn_like(each) for name, each in stage.items()}
    plain, own = found(models_dir, torch.float32), found(write(noisy), torch.float32)
    batch, backwards = Batch(pixels), Batch(pixels)
    features, vectors = embed(own["resnet50"], batch), embed(own["triplet"], batch)
    vectors_first, features_last = embed(own["triplet"], backwards), embed(own["resnet50"], backwards)
    assert torch.equal(features, embed(plain["resnet50"], Batch(pixels)))
    assert torch.equal(features, features_last)
    assert torch.equal(vectors, vectors_first)
    assert (vectors * embed(plain["triplet"], Batch(pixels))).sum(dim=1).max() < 0.99


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_stage_is_as_fast_as_the_trunk(models_dir: Path, write: Write, dtype: torch.dtype) -> None:
    """It takes the trunk's dtype, and on a CPU its convolutions are packed; the head stays in float32."""
    stage = resnet50.load(models_dir / "resnet50" / resnet50.FILE).last_stage().state_dict()
    path = write({f"stage.{name}": each.half() for name, each in stage.items()}) / "heads" / SHIPPED.name
    trunk = resnet50.load(models_dir / "resnet50" / resnet50.FILE).place(torch.device("cpu"), dtype).tuned()
    head = triplet._placed(path, trunk, torch.device("cpu"))
    assert isinstance(head, TunedHead)
    assert head.stage.dtype is dtype
    assert head.linear.weight.dtype is torch.float32
    last = head.stage[2]
    assert isinstance(last, Bottleneck)
    assert last.expand.weight.numel() == 0


def test_what_is_shared_runs_once(
    write: Write, stage: dict[str, Tensor], pixels: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture passes the lower stages once for both, and the trunk's last stage only if that is wanted."""
    own = found(write(stage), torch.float32)
    passes: list[str] = []

    def counted(name: str, original: Callable[[ResNet50, Tensor], Tensor]) -> None:
        def step(self: ResNet50, x: Tensor) -> Tensor:
            passes.append(name)
            return original(self, x)

        monkeypatch.setattr(ResNet50, name, step)

    counted("below", ResNet50.below)
    counted("pooled", ResNet50.pooled)
    batch = Batch(pixels)
    embed(own["triplet"], batch)
    assert passes == ["below"]
    embed(own["resnet50"], batch)
    embed(own["triplet"], batch)
    assert passes == ["below", "pooled"]


@pytest.mark.parametrize(
    ("torn", "complaint"),
    [
        ({"stage.0.reduce.weight": torch.zeros(2, 2)}, "size mismatch for stage.0.reduce.weight"),
        ({"stage.3.reduce.weight": torch.zeros(2, 2)}, "Unexpected key"),
        ({}, "Missing key"),
    ],
)
def test_a_stage_that_cannot_be_used_is_told(
    write: Write, stage: dict[str, Tensor], torn: dict[str, Tensor], complaint: str
) -> None:
    """A stage of a wrong shape, of too many parts or of too few makes its space unavailable alone."""
    tensors = {**stage, **torn}
    if not torn:
        del tensors["stage.2.expand.bias"]
    spaces = {name: each.space for name, each in found(write(tensors), torch.float32).items()}
    assert "triplet.safetensors does not fit" in spaces["triplet"].unavailable_reason
    assert complaint in spaces["triplet"].unavailable_reason
    assert spaces["resnet50"].unavailable_reason == ""


def test_a_stage_is_of_its_trunk_s_variant(stage: dict[str, Tensor], tmp_path: Path) -> None:
    """Where a trunk strides late, so does a stage that was tuned for it."""
    save_file({**load_file(SHIPPED), **stage}, tmp_path / SHIPPED.name)
    strides = []
    for variant in (resnet50.V1, resnet50.V1_5):
        head = triplet.load(tmp_path / SHIPPED.name, variant)
        assert isinstance(head, TunedHead)
        first = head.stage[0]
        assert isinstance(first, Bottleneck)
        strides.append((first.reduce.stride, first.spatial.stride))
    assert strides == [((2, 2), (1, 1)), ((1, 1), (2, 2))]

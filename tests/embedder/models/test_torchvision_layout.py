from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision  # type: ignore[import-untyped]
from safetensors.torch import save_file
from torch import nn

from services.embedder import images
from services.embedder.models import resnet50, torchvision_layout
from services.mesh.errors import FailedPrecondition
from tests.embedder import drawings


@pytest.fixture(scope="module")
def theirs() -> nn.Module:
    """Torchvision's network with drawn weights and normalisations that do something."""
    torch.manual_seed(0)
    model: nn.Module = torchvision.models.resnet50(weights=None)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.weight.data, layer.bias.data, layer.running_mean, layer.running_var):
                assert tensor is not None
                tensor.add_(0.2 * torch.rand_like(tensor))
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    drawn = (drawings.clock(), drawings.envelope())
    decoded = [images.decode(drawings.encoded(picture), resnet50.IMAGE_SIZE) for picture in drawn]
    return torch.from_numpy(np.stack(decoded))


def prepared(pixels: torch.Tensor) -> torch.Tensor:
    """What torchvision's weights expect, in the words of their documentation."""
    planes = pixels.permute(0, 3, 1, 2).float() / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (planes - mean[:, None, None]) / std[:, None, None]


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
def test_the_network_computes_what_torchvision_s_does(
    theirs: nn.Module, pixels: torch.Tensor, tmp_path: Path, name: str
) -> None:
    """Scores of uint8 pixels equal those of torchvision's network for the input that it wants."""
    if name.endswith(".safetensors"):
        save_file(theirs.state_dict(), tmp_path / name)
    else:
        torch.save(theirs.state_dict(), tmp_path / name)
    (tmp_path / "model").mkdir()
    resnet50.install(tmp_path / name, tmp_path / "model")
    ours = resnet50.load(tmp_path / "model" / resnet50.FILE)
    assert ours.variant == resnet50.V1_5
    with torch.inference_mode():
        torch.testing.assert_close(ours.logits(ours(pixels)), theirs(prepared(pixels)), atol=1e-4, rtol=1e-4)


def test_metadata_may_name_another_variant(theirs: nn.Module, tmp_path: Path) -> None:
    """A file that says it is of the first version gets that one's strides."""
    save_file(theirs.state_dict(), tmp_path / "weights.safetensors", {"variant": "v1"})
    (tmp_path / "model").mkdir()
    resnet50.install(tmp_path / "weights.safetensors", tmp_path / "model")
    model = resnet50.load(tmp_path / "model" / resnet50.FILE)
    assert model.variant == resnet50.V1
    first = model.blocks[3]
    assert isinstance(first, resnet50.Bottleneck)
    assert (first.reduce.stride, first.spatial.stride) == ((2, 2), (1, 1))


def test_blocks_come_in_the_order_of_their_numbers(theirs: nn.Module) -> None:
    """The tenth block of a stage would come after its ninth, not after its first."""
    tensors = theirs.state_dict()
    tensors["layer3.10.conv1.weight"] = tensors["layer3.5.conv1.weight"]
    blocks = torchvision_layout._blocks(tensors)
    assert blocks[:4] == ["layer1.0", "layer1.1", "layer1.2", "layer2.0"]
    assert blocks[-5:-2] == ["layer3.5", "layer3.10", "layer4.0"]


def test_a_network_without_its_classes_is_refused(theirs: nn.Module, tmp_path: Path) -> None:
    """A missing tensor is named, with the file that lacks it."""
    tensors = {name: tensor for name, tensor in theirs.state_dict().items() if name != "fc.bias"}
    save_file(tensors, tmp_path / "weights.safetensors")
    with pytest.raises(FailedPrecondition, match=r"weights\.safetensors does not fit: no tensor 'fc\.bias'"):
        resnet50.install(tmp_path / "weights.safetensors", tmp_path)

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from services.embedder.models.convolution import FusedConv2d


@pytest.fixture(params=[(8, 16, 1, 1, 0), (8, 16, 3, 1, 1), (3, 16, 7, 2, 3)])
def convolution(request: pytest.FixtureRequest) -> FusedConv2d:
    inputs, outputs, size, stride, padding = request.param
    torch.manual_seed(0)
    layer = FusedConv2d(inputs, outputs, size, stride=stride, padding=padding)
    return layer.to(memory_format=torch.channels_last).eval().requires_grad_(False)


@pytest.mark.parametrize("pictures", [1, 4, 5])
@pytest.mark.parametrize("packed", [False, True])
def test_what_is_fused_is_what_the_plain_layers_give(
    convolution: FusedConv2d, pictures: int, packed: bool
) -> None:
    """Plain, with a ReLU and with a residual, packed or not, for batches of any size."""
    x = torch.randn(pictures, convolution.in_channels, 32, 32).to(memory_format=torch.channels_last)
    plain = F.conv2d(x, convolution.weight, convolution.bias, convolution.stride, convolution.padding)
    residual = torch.randn_like(plain)
    if packed:
        convolution.pack(32)
    with torch.inference_mode():
        torch.testing.assert_close(convolution(x), plain)
        torch.testing.assert_close(convolution.relu(x), plain.relu())
        torch.testing.assert_close(convolution.add_relu_(x, residual.clone()), (plain + residual).relu())

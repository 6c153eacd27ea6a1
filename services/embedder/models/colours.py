"""What colours a picture's object has: a soft histogram of its foreground in CIELAB.

A histogram keeps what a trunk trained to name objects forgets (Swain and Ballard 1991, "Color Indexing");
CIELAB is the colour space of CIE 15:2004, in which equal distances look about equally far.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Colours of a product survive this much shrinking, and noise does not.
SIDE = 56
_BINS = (6, 10, 10)
DIM = _BINS[0] * _BINS[1] * _BINS[2]

# Of linear sRGB to CIE XYZ under D65, each row divided by the white point (IEC 61966-2-1).
_TO_XYZ = (
    (0.4124564 / 0.95047, 0.3575761 / 0.95047, 0.1804375 / 0.95047),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339 / 1.08883, 0.1191920 / 1.08883, 0.9503041 / 1.08883),
)
# Of the line that stands in for the cube root in the dark.
_SLOPE = 24389 / 27 / 116
# Chroma is spread by its root, so that greys, beiges and pastels get bins of their own.
_CHROMA_SCALE = 8.0
_CHROMA_END = 72.0

# A shop's plain background varies by less than this, in CIELAB units; a room does not.
_PLAIN_SPREAD, _PLAIN_WIDTH = 8.0, 2.0
# What differs from a plain background by more than this is the object.
_OBJECT_DISTANCE, _OBJECT_WIDTH = 10.0, 2.5
# Objects are in the middle: the spread of a Gaussian on sides from -1 to 1.
_CENTRE = 0.45
# An object in the very colour of its background still has a middle.
_LEAST = 1e-4
_BORDER = 2


def histograms(pixels: Tensor) -> Tensor:
    """Square roots of the shares of `DIM` colours, float32 [n, DIM] of length one, in uint8 RGB [n, s, s, 3].

    A pixel counts by how far it belongs to the object, and is shared among the eight nearest bins.
    """
    lab = _lab(F.adaptive_avg_pool2d(pixels.permute(0, 3, 1, 2).float(), SIDE))
    weights = _foreground(lab).flatten(1)
    lightness, green_red, blue_yellow = lab.flatten(2).unbind(1)
    axes = (
        _places(lightness / 100, _BINS[0]),
        _places(_spread(green_red), _BINS[1]),
        _places(_spread(blue_yellow), _BINS[2]),
    )
    counts = torch.zeros(len(pixels), DIM, device=pixels.device)
    for corner in range(8):
        bins = torch.zeros_like(weights, dtype=torch.int64)
        shares = weights
        for axis, ((low, fraction), size) in enumerate(zip(axes, _BINS, strict=True)):
            upper = corner >> axis & 1
            bins = bins * size + low + upper
            shares = shares * (fraction if upper else 1 - fraction)
        counts.scatter_add_(1, bins, shares)
    return (counts / counts.sum(dim=1, keepdim=True)).sqrt()


def _lab(rgb: Tensor) -> Tensor:
    """CIELAB of sRGB 0 to 255, both [n, 3, h, w]."""
    shares = rgb / 255
    linear = torch.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    red, green, blue = linear.unbind(1)
    # Row by row with Python's numbers: a CUDA graph cannot record a matrix on its way from the host.
    xyz = torch.stack([row[0] * red + row[1] * green + row[2] * blue for row in _TO_XYZ], dim=1)
    roots = torch.where(
        xyz > 216 / 24389, xyz.clamp(min=1e-6) ** (1 / 3), xyz * (24389 / 27 / 116) + 16 / 116
    )
    x, y, z = roots.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def _foreground(lab: Tensor) -> Tensor:
    """How far each pixel belongs to the object, float32 [n, h, w].

    Its place tells, and its colour where the border is plain.
    """
    top, bottom = lab[:, :, :_BORDER], lab[:, :, -_BORDER:]
    left, right = lab[..., :_BORDER], lab[..., -_BORDER:]
    border = torch.cat([side.flatten(2) for side in (top, bottom, left, right)], dim=2)
    background = border.median(dim=2).values
    spread = (border - background[:, :, None]).norm(dim=1).median(dim=1).values
    plain = torch.sigmoid((_PLAIN_SPREAD - spread) / _PLAIN_WIDTH)[:, None, None]
    distance = (lab - background[:, :, None, None]).norm(dim=1)
    stands_out = torch.sigmoid((distance - _OBJECT_DISTANCE) / _OBJECT_WIDTH)
    axis = torch.linspace(-1, 1, lab.shape[-1], device=lab.device)
    centre = torch.exp(-(axis[:, None] ** 2 + axis**2) / (2 * _CENTRE**2))
    return centre * (plain * stands_out + 1 - plain + _LEAST)


def _spread(chroma: Tensor) -> Tensor:
    """Chroma as 0 to 1, grey in the middle."""
    return (chroma.sign() * chroma.abs().sqrt() * _CHROMA_SCALE / _CHROMA_END + 1) / 2


def _places(shares: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """The lower of the two nearest bins, and how far beyond its middle a value lies, for shares of 0 to 1."""
    places = (shares * (bins - 1)).clamp(0, bins - 1)
    low = places.floor().clamp(max=bins - 2)
    return low.long(), places - low

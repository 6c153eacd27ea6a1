"""What is seen in a photo without any model: whether two show the same picture, and how it was taken."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

from services.embedder.images import Pixels

Thumbnails = npt.NDArray[np.uint8]

WIDTH, HEIGHT = 24, 32

SAME_PICTURE_RMSE = 0.01
"""Two photos whose thumbnails differ by no more than this, of 1, show the same picture.

Validated at two shops' catalogues whose pairs are known. 705 photos encoded anew at another size (Myntra):
all are found, the farthest at 0.0094. Listings that share a photo: 48 of 52 (Myntra) and 9 of 9 (H&M); the
four that are missed were paired by mistake, they are different white clothes on white. Of all other pairs
among 6,619 and 5,000 photos none is so close; the closest of them differs by 0.0112.
"""

PLAIN_SHARE = 0.8
"""A photo with less than this share of its border in one colour was taken by a phone at somebody's home.

Validated at four catalogues: 83% of the photos of people's own clothes are below it, and of shops' photos
1.6% (Myntra), 0.4% (H&M) and 14% (Luma).
"""

# The border as a share of a side: what 12 pixels are of 224.
_BORDER_SHARE = 12 / 224
# How far a colour channel may be from the border's median, of 255.
_PLAIN_TOLERANCE = 24
_CHUNK = 512
# How much farther than allowed two photos may be to be looked at exactly, for the rounding of float32.
_SLACK = 1.5


def thumbnail(pixels: Pixels) -> Thumbnails:
    """A decoded photo, uint8 [size, size, 3], as uint8 [32, 24, 3]."""
    small = Image.fromarray(pixels).resize((WIDTH, HEIGHT), Image.Resampling.BOX)
    return np.asarray(small)


def plainness(pixels: Pixels) -> float:
    """The share of a photo's border that is about of its median colour, 0 to 1.

    The border is the upper edge with both sides; people and furniture stand on the lower one.
    """
    wide = max(1, round(len(pixels) * _BORDER_SHARE))
    parts = (pixels[:wide], pixels[wide:, :wide], pixels[wide:, -wide:])
    border = np.concatenate([part.reshape(-1, 3) for part in parts]).astype(np.int16)
    away = np.abs(border - np.median(border, axis=0)).max(axis=1)
    return float((away <= _PLAIN_TOLERANCE).mean())


def same_pictures(thumbnails: Thumbnails) -> Iterator[tuple[int, int]]:
    """Every pair (a, b), a < b, of thumbnails, uint8 [n, 32, 24, 3], that show the same picture."""
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32) / 255
    # Around their mean the numbers are smaller, and so is what rounding does to their differences.
    centred = flat - flat.mean(axis=0)
    squares = np.square(centred).sum(axis=1)
    size = flat.shape[1]
    limit = SAME_PICTURE_RMSE**2 * size
    for start in range(0, len(flat), _CHUNK):
        part = centred[start : start + _CHUNK]
        distances = squares[start : start + _CHUNK, None] + squares - 2 * part @ centred.T
        for row, other in zip(*np.nonzero(distances <= limit * _SLACK), strict=True):
            a, b = start + int(row), int(other)
            if a < b and float(np.square(flat[a] - flat[b]).sum()) <= limit:
                yield a, b

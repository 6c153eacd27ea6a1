from __future__ import annotations

import struct

import pytest
from PIL import Image

from services.embedder import images
from services.mesh.pictures import bmp
from services.mesh.pictures.essence import Damaged, NotRead
from tests.embedder.drawings import encoded
from tests.mesh.pictures import hostile

WHOLE = encoded(Image.new("RGB", (5, 3), "red"), "BMP")


def with_sides(width: int, height: int) -> bytes:
    return WHOLE[:18] + struct.pack("<ii", width, height) + WHOLE[26:]


@pytest.mark.parametrize("height", [3, -3])
def test_rows_may_be_in_either_order(height: int) -> None:
    """A negative height says that the first row is on top."""
    essence = bmp.essence(with_sides(5, height))
    assert (essence.width, essence.height) == (5, 3)
    assert images.decode(with_sides(5, height), 4).shape == (4, 4, 3)


def test_the_old_header_is_read() -> None:
    """OS/2 wrote sides of two bytes."""
    rows = b"\0\0\xff" * 2 + bytes(2)
    data = b"BM" + struct.pack("<IHHIIHHHH", 26 + len(rows), 0, 0, 26, 12, 2, 1, 1, 24) + rows
    essence = bmp.essence(data)
    assert (essence.width, essence.height) == (2, 1)
    assert images.decode(data, 4)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    "data", [WHOLE[:16], WHOLE[:30], with_sides(0, 3), with_sides(-5, 3), with_sides(5, 0)]
)
def test_a_header_that_does_not_hold_together_is_damaged(data: bytes) -> None:
    """It is cut off, or declares no size."""
    with pytest.raises(Damaged):
        bmp.essence(data)


def test_compressed_ones_are_not_read() -> None:
    """Hardly anybody writes them."""
    with pytest.raises(NotRead):
        bmp.essence(hostile.bmp_of_runs(4, 4))

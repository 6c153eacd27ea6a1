from __future__ import annotations

import struct

import pytest

from services.mesh.pictures import exif
from tests.mesh.pictures import hostile


def noted(order: str, kind: int, values: int, value: bytes, prefix: bytes = b"") -> bytes:
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return prefix + magic + struct.pack(f"{order}IHHHI", 8, 1, 0x0112, kind, values) + value.ljust(4, b"\0")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_what_was_noted(orientation: int) -> None:
    """As Pillow writes it."""
    assert exif.orientation(hostile.exif(orientation)) == orientation


@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0", b"Exif\0\0Exif\0\0"])
def test_both_orders_of_bytes_are_read(prefix: bytes) -> None:
    """Cameras write either, as a short or a long number, and prefix as they like."""
    assert exif.orientation(noted("<", 3, 1, b"\6\0", prefix)) == 6
    assert exif.orientation(noted(">", 3, 1, b"\0\6", prefix)) == 6
    assert exif.orientation(noted(">", 4, 1, b"\0\0\0\6", prefix)) == 6


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"Exif\0\0",
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"XX*\0" + bytes(40),
        noted("<", 3, 1, b"\6\0")[:-4],
        noted("<", 3, 1, b"\x09\0"),
        noted("<", 3, 1, b"\0\0"),
        noted("<", 2, 1, b"6\0"),
        noted("<", 3, 2, b"\6\0\6\0"),
        b"II*\0\x08\0\0\0" + b"\xff\xff" + bytes(12) * 600 + noted("<", 3, 1, b"\6\0")[10:],
    ],
)
def test_what_cannot_be_read_is_upright(data: bytes) -> None:
    """Nothing, nonsense, a number out of range, or one behind more tags than any camera writes."""
    assert exif.orientation(data) == 1

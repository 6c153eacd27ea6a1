from __future__ import annotations

import pytest
from PIL import Image

from services.mesh.pictures import jpeg
from services.mesh.pictures.essence import Damaged, NotRead, TooLarge
from tests.embedder.drawings import encoded
from tests.mesh.pictures import hostile
from tests.mesh.pictures.hostile import jpeg_segment, jpeg_with

WHOLE = encoded(Image.new("RGB", (20, 10), "red"), "JPEG")


def test_only_what_makes_pixels_is_kept() -> None:
    """Profiles, notes, comments and filling go; what tells the colours stays."""
    noisy = encoded(
        Image.new("CMYK", (20, 10)), "JPEG", exif=hostile.exif(6), icc_profile=b"profile", comment=b"comment"
    )
    essence = jpeg.essence(noisy[:2] + b"junk\xff\xff\xff" + noisy[2:])
    assert (essence.width, essence.height, essence.orientation) == (20, 10, 6)
    assert not any(word in essence.data for word in (b"Exif", b"profile", b"comment", b"junk"))
    assert b"Adobe" in essence.data
    assert jpeg.essence(essence.data).data == essence.data


def test_the_first_orientation_counts() -> None:
    """A second block of Exif is not looked at."""
    data = jpeg_with(jpeg_segment(0xE1, hostile.exif(3)) + jpeg_segment(0xE1, hostile.exif(6)))
    assert jpeg.essence(data).orientation == 3


@pytest.mark.parametrize(
    ("options", "expected"), [({}, 0), ({"progressive": True}, 6), ({"restart_marker_blocks": 1}, 0)]
)
def test_whether_all_coefficients_are_kept_is_known(options: dict[str, object], expected: int) -> None:
    """A progressive picture takes two bytes for each, before any pixel is made."""
    data = encoded(Image.new("RGB", (20, 10)), "JPEG", **options)
    assert jpeg.essence(data).decoder_bytes_per_pixel == expected


def test_components_one_after_the_other_are_kept_too() -> None:
    """A baseline picture whose first scan lacks a component is put together like a progressive one."""
    scan = WHOLE.index(hostile.SCAN)
    first = WHOLE[:scan] + jpeg_segment(0xDA, b"\1\1\0\0\x3f\0") + WHOLE[scan:]
    assert jpeg.essence(first).decoder_bytes_per_pixel == 6


def test_what_follows_the_picture_is_no_scan_of_it() -> None:
    """A second picture or a film behind the first may hold any number of them."""
    data = encoded(Image.new("RGB", (20, 10)), "JPEG", progressive=True)
    assert jpeg.essence(data + hostile.SCAN * 1000).width == 20


@pytest.mark.parametrize(
    "data",
    [
        WHOLE[:3],
        WHOLE[:20],
        jpeg_with(b"\xff\xfe\0\1"),
        WHOLE[: WHOLE.index(b"\xff\xc0")],
        WHOLE.replace(b"\xff\xc0", b"\xff\xe5"),
        WHOLE.replace(b"\xff\xc0\0\x11\x08\0\x0a", b"\xff\xc0\0\x11\x08\0\0"),
        jpeg_with(jpeg_segment(0xC0, b"\x08\0\x0a")),
        jpeg_with(jpeg_segment(0xC0, b"\x08\xff\xff\xff\xff\x01\1\x11\0")),
    ],
)
def test_a_header_that_does_not_hold_together_is_damaged(data: bytes) -> None:
    """It ends too early, has no size, a size of zero, or two sizes."""
    with pytest.raises(Damaged):
        jpeg.essence(data)


@pytest.mark.parametrize("marker", [0xC3, 0xC5, 0xC7, 0xC9, 0xCA, 0xCF])
def test_kinds_that_no_browser_shows_are_not_read(marker: int) -> None:
    """Lossless, hierarchical, arithmetic-coded."""
    with pytest.raises(NotRead):
        jpeg.essence(WHOLE.replace(b"\xff\xc0", bytes([0xFF, marker])))


@pytest.mark.parametrize(
    "data",
    [
        jpeg_with(b"\xff\xfe\0\2" * 2000),
        jpeg_with(b"\xff\xd0" * 2000),
        jpeg_with(jpeg_segment(0xC4, bytes(60_000)) * 2),
        hostile.jpeg_of_scans(65),
    ],
)
def test_more_than_a_picture_needs_is_too_much(data: bytes) -> None:
    """Segments, tables, scans."""
    with pytest.raises(TooLarge):
        jpeg.essence(data)

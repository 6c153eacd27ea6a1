from __future__ import annotations

import io
import struct

import pytest
from PIL import Image

from services.mesh.pictures import tiff
from services.mesh.pictures.essence import Damaged, NotRead, TooLarge
from tests.embedder.drawings import encoded
from tests.mesh.pictures import hostile


def test_only_tags_that_make_pixels_and_only_one_page_are_kept() -> None:
    """Notes, profiles, fractions and further pages are no longer in the directory."""
    essence = tiff.essence(hostile.tiff({270: (2, 8, b"a title\0"), 274: (3, 1, 6), 282: (5, 1, bytes(8))}))
    assert (essence.width, essence.height, essence.orientation) == (8, 8, 6)
    with Image.open(io.BytesIO(essence.data)) as picture:
        assert not {270, 274, 282, 34675} & set(picture.tag_v2)  # type: ignore[attr-defined]
    pages = tiff.essence(hostile.animation("TIFF")).data
    with Image.open(io.BytesIO(pages)) as picture:
        assert getattr(picture, "n_frames", 0) == 1


def test_big_endian_is_read() -> None:
    """As some editors write it."""
    big = Image.frombytes("I;16B", (3, 2), bytes(12))
    essence = tiff.essence(encoded(big, "TIFF"))
    assert essence.data[:2] == b"MM"
    assert (essence.width, essence.height) == (3, 2)


def test_of_equal_tags_the_first_counts() -> None:
    """Readers disagree on which does, so only one is left."""
    whole = hostile.tiff({255: (4, 1, 70_000)})
    place = whole.index(struct.pack("<HHII", 255, 4, 1, 70_000))
    width = struct.pack("<HHI", 256, 4, 1)
    doubled = whole[:place] + width + struct.pack("<I", 9) + whole[place + 12 :]
    essence = tiff.essence(doubled)
    assert essence.width == 9
    assert essence.data.count(width) == 1


@pytest.mark.parametrize("orientation", [0, 9, 65_535])
def test_an_orientation_that_is_none_is_upright(orientation: int) -> None:
    """Only 1 to 8 mean something."""
    assert tiff.essence(hostile.tiff({274: (3, 1, orientation)})).orientation == 1


@pytest.mark.parametrize(
    "data",
    [
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\4\0\0\0" + bytes(40),
        hostile.tiff({})[:-6],
        hostile.tiff({256: (4, 1, 0)}),
        hostile.tiff({256: (4, 2, bytes(8))}),
        hostile.tiff({256: (5, 1, bytes(8))}),
        hostile.tiff({258: (99, 1, 8)}),
        hostile.tiff({273: (4, 9, 60_000)}),
    ],
)
def test_a_directory_that_does_not_hold_together_is_damaged(data: bytes) -> None:
    """It is cut off, has no size, a size that is no number, or values behind the end."""
    with pytest.raises(Damaged):
        tiff.essence(data)


@pytest.mark.parametrize("compression", [2, 3, 4, 6, 34712, 34925, 50000, 50001])
def test_compressions_of_scanners_and_archives_are_not_read(compression: int) -> None:
    """Fax, old JPEG, JPEG 2000, LZMA, Zstandard, WebP."""
    with pytest.raises(NotRead):
        tiff.essence(hostile.tiff({259: (3, 1, compression)}))


@pytest.mark.parametrize(
    "data",
    [
        hostile.tiff({273: (4, 70_000, b"\x08\0\0\0" * 70_000)}),
        hostile.tiff({322: (4, 1, 4096), 323: (4, 1, 4096)}),
        b"II*\0\x08\0\0\0\xff\xff" + bytes(12) * 65_535 + bytes(4),
    ],
)
def test_more_than_a_picture_needs_is_too_much(data: bytes) -> None:
    """Values, pixels in a tile, tags."""
    with pytest.raises(TooLarge):
        tiff.essence(data)

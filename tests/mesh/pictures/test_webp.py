from __future__ import annotations

import pytest
from PIL import Image

from services.mesh.pictures import webp
from services.mesh.pictures.essence import Damaged, TooLarge
from tests.embedder.drawings import encoded
from tests.mesh.pictures import hostile
from tests.mesh.pictures.hostile import webp_chunk

LOSSY = encoded(Image.new("RGB", (20, 10), "red"), "WEBP")
LOSSLESS = encoded(Image.new("RGB", (20, 10), "red"), "WEBP", lossless=True)


@pytest.mark.parametrize("whole", [LOSSY, LOSSLESS])
def test_a_simple_file_is_kept_as_it_is(whole: bytes) -> None:
    """There is nothing but pixels in it; what follows them is left out."""
    for data in (whole, whole + webp_chunk(b"EXIF", hostile.exif(6))):
        essence = webp.essence(data)
        assert essence.data == whole
        assert (essence.width, essence.height, essence.orientation) == (20, 10, 1)


def test_only_what_makes_pixels_is_kept() -> None:
    """Profiles and notes go, transparency stays, and the orientation is known."""
    picture = Image.radial_gradient("L").resize((20, 10)).convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize((20, 10)))
    noisy = encoded(picture, "WEBP", exif=hostile.exif(6), icc_profile=b"profile", xmp=b"<notes/>")
    essence = webp.essence(noisy)
    assert (essence.width, essence.height, essence.orientation) == (20, 10, 6)
    assert b"ALPH" in essence.data
    assert not any(word in essence.data for word in (b"EXIF", b"profile", b"notes"))


def test_of_an_animation_one_frame_is_kept() -> None:
    """The first one, on the whole canvas."""
    essence = webp.essence(hostile.webp_animation(30, 40, 50))
    assert essence.data == hostile.webp_animation(30, 40, 1)
    assert (essence.width, essence.height) == (30, 40)


@pytest.mark.parametrize(
    "data",
    [
        LOSSY[:4] + LOSSY[8:12],
        LOSSY[:20],
        LOSSY[:-1],
        hostile.webp(webp_chunk(b"VP8L", b"")),
        hostile.webp(webp_chunk(b"VP8X", b"")),
        hostile.webp(webp_chunk(b"VP8X", bytes(5))),
        hostile.webp(webp_chunk(b"junk", bytes(20))),
        hostile.webp(webp_chunk(b"VP8X", bytes(10)), b"VP8 \xff\xff\xff\xff"),
    ],
)
def test_a_header_that_does_not_hold_together_is_damaged(data: bytes) -> None:
    """It is cut off, or no picture begins where one should."""
    with pytest.raises(Damaged):
        webp.essence(data)


def test_more_chunks_than_a_picture_needs_are_too_many() -> None:
    """Even empty ones take time."""
    with pytest.raises(TooLarge):
        webp.essence(hostile.webp(webp_chunk(b"VP8X", bytes(10)), webp_chunk(b"junk", b"") * 70_000))

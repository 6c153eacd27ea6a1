from __future__ import annotations

import pytest
from PIL import Image

from services.mesh.errors import InvalidArgument
from services.mesh.pictures.decoding import ImageLimits, Upright, decoded
from tests.embedder.drawings import encoded
from tests.mesh.pictures import hostile


def upright(data: bytes, *, side: int = 64, limits: ImageLimits | None = None) -> Upright | InvalidArgument:
    return decoded(data, lambda picture: picture, side=side, limits=limits or ImageLimits())


def picture(data: bytes, *, side: int = 64) -> Upright:
    found = upright(data, side=side)
    assert isinstance(found, Upright), found
    return found


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_a_picture_tells_its_size_and_its_form(form: str) -> None:
    """Whatever it is written in, it comes in a plain mode."""
    found = picture(encoded(Image.new("RGB", (90, 40), "red"), form))
    assert (found.width, found.height, found.form) == (90, 40, form)
    assert found.image.mode in {"L", "RGB", "RGBA"}
    assert found.image.size == (90, 40)


@pytest.mark.parametrize(("side", "size"), [(100, (200, 100)), (101, (400, 200)), (5000, (1600, 800))])
def test_a_photo_is_decoded_no_larger_than_it_has_to_be(side: int, size: tuple[int, int]) -> None:
    """And no smaller than asked for; the size that is told is that of all of it."""
    found = picture(encoded(Image.new("RGB", (1600, 800), "red"), "JPEG"), side=side)
    assert found.image.size == size
    assert (found.width, found.height) == (1600, 800)


@pytest.mark.parametrize("turn", range(1, 9))
def test_the_size_is_that_of_the_upright_picture(turn: int) -> None:
    """A camera that lay on its side has the sides exchanged."""
    found = picture(encoded(Image.new("RGB", (90, 40), "red"), "JPEG", exif=hostile.exif(turn)))
    assert (found.width, found.height) == ((40, 90) if turn >= 5 else (90, 40))
    assert found.image.size == (found.width, found.height)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "EMPTY_IMAGE"),
        (b"text", "NOT_AN_IMAGE"),
        (encoded(Image.new("RGB", (9, 9)), "JPEG")[:-20], "DAMAGED_IMAGE"),
        (encoded(Image.new("RGB", (200, 200)), "PNG"), "IMAGE_TOO_LARGE"),
        (hostile.gif(b"", (0, 0, 65535, 65535)), "IMAGE_TOO_LARGE"),
    ],
)
def test_what_cannot_be_shown_is_handed_back_as_an_error(data: bytes, reason: str) -> None:
    """Returned, not raised, so that no traceback holds on to a half decoded picture."""
    refused = upright(data, limits=ImageLimits(max_pixels=10_000))
    assert isinstance(refused, InvalidArgument)
    assert (refused.field, refused.reason) == ("image", reason)

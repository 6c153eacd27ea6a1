from __future__ import annotations

import pytest
from PIL import Image

from services.mesh.pictures import png
from services.mesh.pictures.essence import Damaged, TooLarge
from tests.embedder.drawings import encoded
from tests.mesh.pictures import hostile
from tests.mesh.pictures.hostile import png_chunk, png_header, png_pixels

PIXELS = png_pixels(13)


def test_only_what_makes_pixels_is_kept() -> None:
    """Profiles, texts, frames and what follows the end go; an orientation is read wherever it stands."""
    plain = hostile.png(png_header(4, 1), PIXELS)
    notes = png_chunk(b"iCCP", b"p\0\0x") + png_chunk(b"tEXt", b"k\0v") + png_chunk(b"acTL", bytes(8))
    turned = png_chunk(b"eXIf", hostile.exif(6).removeprefix(b"Exif\0\0"))
    for chunks in ((png_header(4, 1), notes, turned, PIXELS), (png_header(4, 1), PIXELS, turned, notes)):
        essence = png.essence(hostile.png(*chunks) + b"and more")
        assert essence.data == plain
        assert (essence.width, essence.height, essence.orientation) == (4, 1, 6)


def test_palette_and_transparency_are_kept() -> None:
    """Without them there are no colours."""
    whole = encoded(Image.new("P", (4, 4)), "PNG", transparency=0)
    assert png.essence(whole).data == whole


@pytest.mark.parametrize(
    "data",
    [
        hostile.png(PIXELS),
        hostile.png(png_header(4, 1))[:30],
        hostile.png(png_header(0, 1), PIXELS),
        hostile.png(png_header(4, 1), png_header(9999, 9999), PIXELS),
        hostile.png(png_header(4, 1), png_chunk(b"PLTE", bytes(771)), PIXELS),
        hostile.png(png_header(4, 1), png_chunk(b"tRNS", bytes(257)), PIXELS),
    ],
)
def test_a_header_that_does_not_hold_together_is_damaged(data: bytes) -> None:
    """None, none in full, of no size, a second one, or a palette of more colours than there are."""
    with pytest.raises(Damaged):
        png.essence(data)


def test_more_chunks_than_a_picture_needs_are_too_many() -> None:
    """Even empty ones take time."""
    with pytest.raises(TooLarge):
        png.essence(hostile.png(png_header(4, 1), png_chunk(b"IDAT", b"") * 70_000))

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from services.embedder import images
from services.embedder.images import ImageLimits
from services.mesh.errors import InvalidArgument

SIZE = 32


def encoded(picture: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def halves(left: str, right: str, size: tuple[int, int] = (64, 64), mode: str = "RGB") -> Image.Image:
    """A picture of two colours, side by side."""
    picture = Image.new("RGB", size, left)
    picture.paste(Image.new("RGB", (size[0] // 2, size[1]), right), (size[0] // 2, 0))
    return picture.convert(mode)


def looks(pixels: images.Pixels, colour: tuple[int, int, int], *, tolerance: int = 12) -> bool:
    return bool(np.abs(pixels.astype(int) - colour).max() <= tolerance)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_every_usual_format_gives_the_same_square(form: str) -> None:
    """Every usual format is decoded to uint8 RGB of the size asked for."""
    pixels = images.decode(encoded(halves("red", "blue", (90, 40)), form), SIZE)
    assert pixels.shape == (SIZE, SIZE, 3)
    assert pixels.dtype == np.uint8
    assert looks(pixels[:, :12], (255, 0, 0), tolerance=24)
    assert looks(pixels[:, -12:], (0, 0, 255), tolerance=24)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "I;16", "LA", "RGBA", "PA"])
def test_every_pixel_format_shows_the_picture(mode: str) -> None:
    """Grey, palette, CMYK, sixteen-bit and transparent pictures are black on the left, white on the right."""
    picture = halves("black", "white")
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    else:
        picture = picture.convert(mode)
    form = "JPEG" if mode in ("CMYK", "YCbCr") else "TIFF" if mode == "PA" else "PNG"
    pixels = images.decode(encoded(picture.convert("RGBA") if mode == "PA" else picture, form), SIZE)
    assert looks(pixels[:, :12], (0, 0, 0))
    assert looks(pixels[:, -12:], (255, 255, 255))


def test_transparency_lies_on_white() -> None:
    """What is transparent is white, whatever colour hides there; half transparent is half as strong."""
    picture = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    picture.paste((0, 0, 0, 128), (0, 0, 32, 64))
    pixels = images.decode(encoded(picture), SIZE)
    assert looks(pixels[:, :12], (127, 127, 127))
    assert looks(pixels[:, -12:], (255, 255, 255))


def test_a_palette_may_hold_the_transparency() -> None:
    """A GIF's transparent colour is white too."""
    picture = halves("red", "blue").quantize(4)
    transparent = picture.getpixel((0, 0))
    pixels = images.decode(encoded(picture, "GIF", transparency=transparent), SIZE)
    assert looks(pixels[:, :12], (255, 255, 255))
    assert looks(pixels[:, -12:], (0, 0, 255))


def test_orientation_is_obeyed() -> None:
    """A photo taken with the camera turned is seen upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = images.decode(encoded(halves("red", "blue"), "JPEG", exif=exif, quality=95), SIZE)
    assert looks(pixels[:12], (255, 0, 0), tolerance=24)
    assert looks(pixels[-12:], (0, 0, 255), tolerance=24)


def test_an_animation_gives_its_first_frame() -> None:
    """Of an animated GIF the first frame counts."""
    first, second = Image.new("RGB", (40, 40), "red"), Image.new("RGB", (40, 40), "blue")
    pixels = images.decode(encoded(first, "GIF", save_all=True, append_images=[second]), SIZE)
    assert looks(pixels, (255, 0, 0))


def test_a_box_cuts_before_resizing() -> None:
    """Only what lies within the box is seen."""
    pixels = images.decode(encoded(halves("red", "blue")), SIZE, box=(0.55, 0.0, 1.0, 1.0))
    assert looks(pixels, (0, 0, 255))


def test_a_box_counts_in_the_upright_picture() -> None:
    """The box is where people see it, after the orientation is obeyed."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(halves("red", "blue"), "JPEG", exif=exif, quality=95)
    assert looks(images.decode(data, SIZE, box=(0.0, 0.6, 1.0, 1.0)), (0, 0, 255), tolerance=24)


@pytest.mark.parametrize(
    "box",
    [
        (0.5, 0, 0.5, 1),
        (0.6, 0, 0.5, 1),
        (-0.1, 0, 1, 1),
        (0, 0, 1, 1.1),
        (0, float("nan"), 1, 1),
        (0, 0, float("inf"), 1),
    ],
)
def test_a_box_outside_the_picture_is_refused(box: images.Box) -> None:
    """An empty, turned or overhanging box is the caller's mistake."""
    with pytest.raises(InvalidArgument) as caught:
        images.decode(encoded(halves("red", "blue")), SIZE, box=box)
    assert caught.value.field == "box"


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (5, 7)])
def test_tiny_and_thin_pictures_work(size: tuple[int, int]) -> None:
    """A picture of a single pixel or a thin line is still a picture."""
    assert looks(images.decode(encoded(Image.new("RGB", size, "red")), SIZE), (255, 0, 0))


def test_a_large_jpeg_is_as_good_as_a_small_one() -> None:
    """Decoding at reduced scale hardly changes what is seen."""
    noise = np.random.default_rng(0).integers(0, 255, (9, 9, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((2000, 2000), Image.Resampling.BICUBIC)
    fast = images.decode(encoded(picture, "JPEG", quality=95), SIZE)
    exact = images.decode(encoded(picture), SIZE)
    assert np.abs(fast.astype(int) - exact).mean() < 3


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be huge."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"hello", "not an image"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 40, "not an image"),
        (b"%PDF-1.7 " * 9, "not an image"),
        (encoded(Image.new("RGB", (600, 600), "red"), "JPEG")[:700], "damaged"),
        (encoded(Image.effect_noise((300, 300), 90))[:9000], "damaged"),
        (bomb(40, 40), "damaged"),
        (bomb(60_000, 60_000), "pixels"),
        (b"\0" * (ImageLimits().max_bytes + 1), "bytes"),
        (encoded(Image.new("F", (8, 8)), "TIFF"), "floating"),
    ],
)
def test_what_is_no_whole_picture_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    """Empty, foreign, damaged and oversized bytes are the caller's mistake, and the message says which."""
    with pytest.raises(InvalidArgument, match=reason) as caught:
        images.decode(data, SIZE)
    assert caught.value.field == "image"


def test_limits_are_the_callers_choice() -> None:
    """A caller may allow fewer pixels."""
    with pytest.raises(InvalidArgument, match="4096"):
        images.decode(encoded(Image.new("RGB", (65, 64))), SIZE, limits=ImageLimits(max_pixels=4096))


@given(
    st.binary(max_size=300),
    st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"]),
    st.integers(0, 400),
)
def test_no_bytes_raise_anything_else(junk: bytes, form: str, place: int) -> None:
    """However a picture is damaged, the outcome is pixels or InvalidArgument."""
    whole = encoded(halves("red", "blue", (20, 20)), form)
    damaged = whole[:place] + junk + whole[place + len(junk) :]
    try:
        assert images.decode(damaged, SIZE).shape == (SIZE, SIZE, 3)
    except InvalidArgument as error:
        assert error.message

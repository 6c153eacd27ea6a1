"""Bytes of a picture -> the picture upright, in a plain mode, within a bounded amount of memory."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from services.mesh.errors import InvalidArgument
from services.mesh.pictures import avif, bmp, gif, jpeg, png, tiff, webp
from services.mesh.pictures.budget import MemoryBudget
from services.mesh.pictures.essence import Essence, NotRead, TooLarge

Result = TypeVar("Result")

# Why an image is refused, for programs.
EMPTY_IMAGE = "EMPTY_IMAGE"
NOT_AN_IMAGE = "NOT_AN_IMAGE"
DAMAGED_IMAGE = "DAMAGED_IMAGE"
IMAGE_TOO_LARGE = "IMAGE_TOO_LARGE"

# For the pictures that all threads together decode: one of 38 million pixels in the hungriest format, or
# hundreds of photos.
DECODE_MEMORY_BYTES = 2**30

# A picture, the same with transparency, and that with its colours weighted for resampling.
_PICTURE_BYTES_PER_PIXEL = 12

_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Those that were noted while the camera lay on its side.
_ON_THEIR_SIDE = range(5, 9)

# Our own limits are looked at before any pixel is decoded, and they refuse instead of warning.
Image.MAX_IMAGE_PIXELS = None
# Pictures are decoded in several threads already.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1

_budget = MemoryBudget(DECODE_MEMORY_BYTES)


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What is refused before it is decoded. JPEG and GIF have no sides of more than 65,535 pixels."""

    max_bytes: int = 20 * 2**20
    max_pixels: int = 50_000_000
    max_side: int = 65_535


DEFAULT_LIMITS = ImageLimits()


@dataclass(frozen=True, slots=True)
class Upright:
    """A decoded picture as it is meant to be seen."""

    image: Image.Image
    """In mode L, RGB or RGBA; smaller than the picture where that was cheaper."""
    width: int
    """Pixels of the whole picture."""
    height: int
    """Pixels of the whole picture."""
    form: str
    """`JPEG`, `PNG`, `WEBP`, `GIF`, `AVIF`, `BMP` or `TIFF`."""


@dataclass(frozen=True, slots=True)
class _Format:
    """How a format is known by its first bytes, stripped and decoded."""

    is_it: Callable[[bytes], bool]
    essence: Callable[[bytes], Essence]
    decoder: Callable[[io.BytesIO], ImageFile.ImageFile]


# What browsers, phones and shops produce. Pillow's rarer parsers stay shut: each is attack surface.
_FORMATS = (
    _Format(jpeg.is_jpeg, jpeg.essence, JpegImagePlugin.JpegImageFile),
    _Format(png.is_png, png.essence, PngImagePlugin.PngImageFile),
    _Format(webp.is_webp, webp.essence, WebPImagePlugin.WebPImageFile),
    _Format(gif.is_gif, gif.essence, GifImagePlugin.GifImageFile),
    _Format(avif.is_avif, avif.essence, AvifImagePlugin.AvifImageFile),
    _Format(bmp.is_bmp, bmp.essence, BmpImagePlugin.BmpImageFile),
    _Format(tiff.is_tiff, tiff.essence, TiffImagePlugin.TiffImageFile),
)


def decoded(
    data: bytes,
    finish: Callable[[Upright], Result],
    *,
    side: int,
    limits: ImageLimits = DEFAULT_LIMITS,
) -> Result | InvalidArgument:
    """What `finish` makes of the picture in `data`, or why there is none.

    Both sides of the image that `finish` is given have at least `side` pixels where the picture has as many.
    Animations give their first frame, the orientation that the camera noted is obeyed. Colour profiles are
    not. The memory for it is held until `finish` returns, so what that keeps should be small.

    An error is returned: field `image` and the reason EMPTY_IMAGE (0 bytes), NOT_AN_IMAGE (no format, or kind
    of it, that is read), DAMAGED_IMAGE, or IMAGE_TOO_LARGE (`limits` for what the headers declare, or more
    metadata, scans or parts than a picture needs). One that is raised keeps the frames that it came through,
    and a half decoded picture in one of them would stay in memory until the last of its batch is done.

    Safe for any number of threads. All of them together take DECODE_MEMORY_BYTES, or what the largest picture
    allowed takes if that is more.
    """
    if not data:
        return _refusal(EMPTY_IMAGE, "the image is empty (0 bytes)")
    if len(data) > limits.max_bytes:
        message = f"the image has {len(data)} bytes, at most {limits.max_bytes} are allowed"
        return _refusal(IMAGE_TOO_LARGE, message)
    form = next((form for form in _FORMATS if form.is_it(data)), None)
    if form is None:
        return _refusal(NOT_AN_IMAGE, "the bytes are not an image of a known format")
    try:
        essence = form.essence(data)
        _check_size(essence.width, essence.height, limits)
        image = form.decoder(io.BytesIO(essence.data))
        # Two readers may disagree about a hostile file, so each one's size is looked at.
        _check_size(*image.size, limits)
        return _finished(image, essence, side, finish)
    except NotRead as error:
        return _refusal(NOT_AN_IMAGE, str(error))
    except TooLarge as error:
        return _refusal(IMAGE_TOO_LARGE, str(error))
    except MemoryError:
        # That is our fault and not the picture's.
        raise
    # Pillow's parsers raise nearly any kind of exception on hostile bytes; all of them mean the same.
    except Exception as error:  # noqa: BLE001 - see the line above
        return _refusal(DAMAGED_IMAGE, f"the image is damaged or cut off: {str(error)[:200]}")


def _refusal(reason: str, message: str) -> InvalidArgument:
    return InvalidArgument("image", message, reason=reason)


def _check_size(width: int, height: int, limits: ImageLimits) -> None:
    if width * height > limits.max_pixels:
        raise TooLarge(f"the image has {width} x {height} pixels, at most {limits.max_pixels} are allowed")
    if max(width, height) > limits.max_side:
        raise TooLarge(
            f"the image has {width} x {height} pixels, at most {limits.max_side} are allowed to a side"
        )


def _finished(
    image: ImageFile.ImageFile, essence: Essence, side: int, finish: Callable[[Upright], Result]
) -> Result:
    width, height = image.size
    form = image.format or ""
    whole = max(width * height, essence.width * essence.height)
    # JPEG decodes at 1/2, 1/4 or 1/8 scale for a fraction of the cost, never below the size asked for here.
    image.draft(None, (side, side))
    need_bytes = whole * essence.decoder_bytes_per_pixel + math.prod(image.size) * _PICTURE_BYTES_PER_PIXEL
    with _budget.hold(need_bytes):
        # The container of an AVIF tells how it is to be turned, and Pillow says so as Exif would.
        turn = essence.orientation if form != "AVIF" else image.getexif().get(0x0112, 1)
        upright: Image.Image = image
        if turn in _TRANSPOSITIONS:
            upright = image.transpose(_TRANSPOSITIONS[turn])
            if turn in _ON_THEIR_SIDE:
                width, height = height, width
        return finish(Upright(_plain_mode(upright), width, height, form))


def _plain_mode(image: Image.Image) -> Image.Image:
    """The picture as grey, RGB or RGBA of eight bits; grey may wait for the small version to become RGB."""
    image.load()
    if image.mode.startswith("I"):
        # Sixteen-bit grey; Pillow's own conversion clips at 255 instead of scaling.
        grey = np.asarray(image)
        if grey.dtype != np.uint16:
            grey = np.clip(grey, 0, 65535)
        return Image.fromarray((grey >> 8).astype(np.uint8))
    if image.mode == "F":
        raise NotRead("floating point pixels, which have no known range, are not read")
    if image.has_transparency_data:
        return image if image.mode == "RGBA" else image.convert("RGBA")
    if image.mode in {"L", "RGB"}:
        return image
    return image.convert("L" if image.mode == "1" else "RGB")

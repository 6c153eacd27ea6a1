"""Bytes of a picture -> the square of pixels that a model looks at. Training and serving share this code."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
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

from services.embedder.budget import MemoryBudget
from services.embedder.formats import avif, bmp, gif, jpeg, png, tiff, webp
from services.embedder.formats.essence import Essence, NotRead, TooLarge
from services.mesh.errors import InvalidArgument

Pixels = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]

# Why an image is refused, for programs.
EMPTY_IMAGE = "EMPTY_IMAGE"
NOT_AN_IMAGE = "NOT_AN_IMAGE"
DAMAGED_IMAGE = "DAMAGED_IMAGE"
IMAGE_TOO_LARGE = "IMAGE_TOO_LARGE"
BAD_BOX = "BAD_BOX"

# For the pictures that all threads together decode: one of 38 million pixels in the hungriest format, or
# hundreds of photos.
DECODE_MEMORY_BYTES = 2**30

# A picture, the same with transparency, and that with its colours weighted for resampling.
_PICTURE_BYTES_PER_PIXEL = 12
# Beyond this no picture is decoded larger, however small the box.
_SMALLEST_SHARE = 1e-4

_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

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


def decode(
    data: bytes,
    size: int,
    *,
    box: Box | None = None,
    limits: ImageLimits = DEFAULT_LIMITS,
) -> Pixels:
    """The picture in `data` as RGB, uint8 [size, size, 3], stretched to the square; read-only.

    `box` is (x0, y0, x1, y1) as shares of the upright picture's width and height; what lies outside is cut
    off, and less than a pixel is a pixel. Transparency lies on white, animations give their first frame, the
    orientation that the camera noted is obeyed. Colour profiles are not.

    Raises InvalidArgument with what is wrong in words and as a reason: field `image` and EMPTY_IMAGE (0
    bytes), NOT_AN_IMAGE (no format, or kind of it, that is read), DAMAGED_IMAGE, or IMAGE_TOO_LARGE (`limits`
    for what the headers declare, or more metadata, scans or parts than a picture needs); field `box` and
    BAD_BOX.

    Safe for any number of threads. All of them together take DECODE_MEMORY_BYTES, or what the largest picture
    allowed takes if that is more.

    Stretching and padding with white were measured on 1,000 catalogue photos: neighbours of the same
    article type among the first ten .615 and .613 (ResNet50, leave one out). Stretching needs no made-up
    border.
    """
    outcome = _outcome(data, size, box, limits)
    if isinstance(outcome, InvalidArgument):
        raise outcome
    return outcome


def _outcome(data: bytes, size: int, box: Box | None, limits: ImageLimits) -> Pixels | InvalidArgument:
    """What `decode` returns or raises.

    An error that is raised keeps the frames that it came through, and a half decoded picture in one of them
    would stay in memory until the last of its batch is done. So this one is handed back.
    """
    if box is not None and not _is_inside(box):
        message = f"wanted 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1, got {box}"
        return InvalidArgument("box", message, reason=BAD_BOX)
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
        return _render(image, essence, size, box)
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


def _is_inside(box: Box) -> bool:
    x0, y0, x1, y1 = box
    # The comparisons are False for NaN.
    return 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1


def _check_size(width: int, height: int, limits: ImageLimits) -> None:
    if width * height > limits.max_pixels:
        raise TooLarge(f"the image has {width} x {height} pixels, at most {limits.max_pixels} are allowed")
    if max(width, height) > limits.max_side:
        raise TooLarge(
            f"the image has {width} x {height} pixels, at most {limits.max_side} are allowed to a side"
        )


def _render(image: Image.Image, essence: Essence, size: int, box: Box | None) -> Pixels:
    # JPEG decodes at 1/2, 1/4 or 1/8 scale for a fraction of the cost, never below the size asked for here.
    shown = 1.0 if box is None else max(min(box[2] - box[0], box[3] - box[1]), _SMALLEST_SHARE)
    wanted = math.ceil(size / shown)
    whole = max(math.prod(image.size), essence.width * essence.height)
    image.draft(None, (wanted, wanted))
    need_bytes = whole * essence.decoder_bytes_per_pixel + math.prod(image.size) * _PICTURE_BYTES_PER_PIXEL
    with _budget.hold(need_bytes):
        # The container of an AVIF tells how it is to be turned, and Pillow says so as Exif would.
        turn = essence.orientation if image.format != "AVIF" else image.getexif().get(0x0112, 1)
        if turn in _TRANSPOSITIONS:
            image = image.transpose(_TRANSPOSITIONS[turn])
        return _square(_plain_mode(image), size, box)


def _square(image: Image.Image, size: int, box: Box | None) -> Pixels:
    width, height = image.size
    region = (0.0, 0.0, float(width), float(height))
    if box is not None:
        left, right = _at_least_a_pixel(box[0] * width, box[2] * width, width)
        top, bottom = _at_least_a_pixel(box[1] * height, box[3] * height, height)
        region = (left, top, right, bottom)
    # Resampling a transparent picture weights colours by alpha, so the white can wait for the small version.
    image = image.resize((size, size), Image.Resampling.BILINEAR, box=region)
    if image.mode == "RGBA":
        transparent, image = image, Image.new("RGB", image.size, "white")
        image.paste(transparent, mask=transparent.getchannel("A"))
    image = image if image.mode == "RGB" else image.convert("RGB")
    return np.frombuffer(image.tobytes(), np.uint8).reshape(size, size, 3)


def _at_least_a_pixel(start: float, end: float, length: int) -> tuple[float, float]:
    if end - start >= 1:
        return start, end
    start = min(max(0.0, (start + end - 1) / 2), length - 1.0)
    return start, start + 1


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

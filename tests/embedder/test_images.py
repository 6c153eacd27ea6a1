from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from services.embedder import images
from services.embedder.images import BAD_BOX
from services.mesh.errors import InvalidArgument
from services.mesh.pictures.decoding import (
    DAMAGED_IMAGE,
    EMPTY_IMAGE,
    IMAGE_TOO_LARGE,
    NOT_AN_IMAGE,
    ImageLimits,
)
from tests.embedder.drawings import encoded
from tests.mesh.pictures import hostile

SIZE = 32
FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"]


def halves(left: str, right: str, size: tuple[int, int] = (64, 64), mode: str = "RGB") -> Image.Image:
    """A picture of two colours, side by side."""
    picture = Image.new("RGB", size, left)
    picture.paste(Image.new("RGB", (size[0] // 2, size[1]), right), (size[0] // 2, 0))
    return picture.convert(mode)


def looks(pixels: images.Pixels, colour: tuple[int, int, int], *, tolerance: int = 12) -> bool:
    return bool(np.abs(pixels.astype(int) - colour).max() <= tolerance)


@pytest.mark.parametrize("form", FORMATS)
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


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_obeyed(form: str, orientation: int) -> None:
    """A photo taken with the camera turned or mirrored is seen upright, whatever the format."""
    corners = Image.new("RGB", (64, 48), "white")
    corners.paste("red", (0, 0, 32, 24))
    corners.paste("blue", (32, 0, 64, 24))
    # How a camera held like that stores what is upright.
    stored = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    turned = corners
    for method in stored.get(orientation, []):
        turned = turned.transpose(method)
    pixels = images.decode(encoded(turned, form, exif=hostile.exif(orientation), quality=95), SIZE)
    assert looks(pixels[2:12, 2:12], (255, 0, 0), tolerance=32)
    assert looks(pixels[2:12, -12:-2], (0, 0, 255), tolerance=32)
    assert looks(pixels[-12:-2, 2:-2], (255, 255, 255), tolerance=32)


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("GIF", {}),
        ("GIF", {"disposal": 2}),
        ("GIF", {"disposal": 3}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True, "exif": hostile.exif(1)}),
        ("AVIF", {}),
        ("PNG", {}),
        ("PNG", {"default_image": True}),
        ("TIFF", {}),
        ("MPO", {"quality": 95}),
    ],
)
def test_of_several_pictures_the_first_counts(form: str, options: dict[str, object]) -> None:
    """Of an animation the first frame is seen, of a file of several pages or views the first of them."""
    assert looks(images.decode(hostile.animation(form, **options), SIZE), (255, 0, 0), tolerance=24)


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
    assert (caught.value.field, caught.value.reason) == ("box", BAD_BOX)


@pytest.mark.parametrize(
    ("box", "colour"),
    [
        ((0.1, 0.5, 0.1001, 0.5001), (255, 0, 0)),
        ((0.9, 0.5, 0.9001, 0.5001), (0, 0, 255)),
        ((0.0, 0.0, 5e-324, 5e-324), (255, 0, 0)),
        ((1 - 2**-53, 0.0, 1.0, 1.0), (0, 0, 255)),
    ],
)
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_box_of_less_than_a_pixel_is_that_pixel(
    form: str, box: images.Box, colour: tuple[int, int, int]
) -> None:
    """However small a box is, something is seen there."""
    data = encoded(halves("red", "blue", (1600, 400)), form, quality=95)
    assert looks(images.decode(data, SIZE, box=box), colour, tolerance=24)


@pytest.mark.parametrize("size", [(1, 1), (1, 20_000), (20_000, 1), (5, 7)])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "TIFF"])
def test_tiny_and_thin_pictures_work(form: str, size: tuple[int, int]) -> None:
    """A picture of a single pixel or a thin line is still a picture."""
    assert looks(images.decode(encoded(Image.new("RGB", size, "red"), form), SIZE), (255, 0, 0))


def test_a_large_jpeg_is_as_good_as_a_small_one() -> None:
    """Decoding at reduced scale hardly changes what is seen."""
    noise = np.random.default_rng(0).integers(0, 255, (9, 9, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((2000, 2000), Image.Resampling.BICUBIC)
    fast = images.decode(encoded(picture, "JPEG", quality=95), SIZE)
    exact = images.decode(encoded(picture), SIZE)
    assert np.abs(fast.astype(int) - exact).mean() < 3


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_every_kind_of_jpeg_gives_the_same_picture(mode: str, progressive: bool) -> None:
    """Grey, colour and print colours, baseline and progressive, at full scale and reduced."""
    for side in (40, 400):
        picture = halves("black", "white", (side, side)).convert(mode)
        pixels = images.decode(encoded(picture, "JPEG", progressive=progressive, quality=95), SIZE)
        assert looks(pixels[:, :12], (0, 0, 0))
        assert looks(pixels[:, -12:], (255, 255, 255))


def test_print_colours_are_read_as_browsers_read_them() -> None:
    """CMYK is taken for inverted, as Adobe writes it, whether or not Adobe's segment says so."""
    marked = encoded(Image.new("RGB", (40, 40), "red").convert("CMYK"), "JPEG", quality=95)
    start = marked.index(b"\xff\xee")
    unmarked = marked[:start] + marked[start + 2 + int.from_bytes(marked[start + 2 : start + 4]) :]
    assert b"Adobe" in marked
    assert b"Adobe" not in unmarked
    for data in (marked, unmarked):
        assert looks(images.decode(data, SIZE), (255, 0, 0), tolerance=16)


def test_sixteen_bits_a_sample_are_scaled_to_eight() -> None:
    """Grey and colour of sixteen bits are as dark as they should be, from PNG and from either TIFF."""
    ramp = np.repeat(np.linspace(0, 65535, 64, dtype=np.uint16)[None], 64, axis=0)
    wanted = images.decode(encoded(Image.fromarray((ramp >> 8).astype(np.uint8))), SIZE)
    colour = hostile.png(
        hostile.png_header(64, 64, bits=16),
        hostile.png_pixels_of(np.repeat(ramp[..., None], 3, axis=2).astype(">u2")),
    )
    big_endian = Image.frombytes("I;16B", (64, 64), ramp.astype(">u2").tobytes())
    for data in (
        encoded(Image.fromarray(ramp)),
        encoded(Image.fromarray(ramp), "TIFF"),
        encoded(Image.fromarray(ramp).convert("I"), "TIFF"),
        encoded(big_endian, "TIFF"),
        colour,
    ):
        assert np.abs(images.decode(data, SIZE).astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("mode", ["LA", "PA", "RGBA", "P", "RGB", "L"])
def test_transparency_lies_on_white_however_it_is_stored(mode: str) -> None:
    """A channel, a palette's own or one colour that is transparent: white shows through."""
    form, options = "PNG", {}
    if mode in {"LA", "RGBA", "PA"}:
        picture = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
        picture.paste((0, 0, 0, 255), (32, 0, 64, 64))
        picture = picture.convert(mode)
        form = "TIFF" if mode == "PA" else form
    else:
        picture = halves("red", "black")
        picture = picture.quantize(4) if mode == "P" else picture.convert(mode)
        options = {"transparency": picture.getpixel((0, 0))}
    pixels = images.decode(encoded(picture, form, **options), SIZE)
    assert looks(pixels[:, :12], (255, 255, 255))
    assert looks(pixels[:, -12:], (0, 0, 0))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_colour_profile_changes_nothing(form: str) -> None:
    """Neither a good profile nor a megabyte of nonsense in its place is looked at."""
    picture = halves("red", "blue")
    plain = images.decode(encoded(picture, form), SIZE)
    for profile in (ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), b"nonsense" * 2**17):
        assert np.array_equal(images.decode(encoded(picture, form, icc_profile=profile), SIZE), plain)


def test_the_pixels_are_not_to_be_written_to() -> None:
    """They are the decoder's own memory, saved a copy."""
    assert not images.decode(encoded(halves("red", "blue")), SIZE).flags.writeable


@pytest.mark.parametrize(
    ("data", "reason", "words"),
    [
        (b"", EMPTY_IMAGE, "empty"),
        (b"hello", NOT_AN_IMAGE, "not an image"),
        (b"%PDF-1.7 " * 9, NOT_AN_IMAGE, "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", NOT_AN_IMAGE, "not an image"),
        (encoded(Image.new("RGB", (8, 8)), "ICO"), NOT_AN_IMAGE, "not an image"),
        (encoded(Image.new("F", (8, 8)), "TIFF"), NOT_AN_IMAGE, "floating"),
        (hostile.bmp_of_runs(8, 8), NOT_AN_IMAGE, "compressed BMP"),
        (hostile.lossless_jpeg(8), NOT_AN_IMAGE, "lossless"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 40, DAMAGED_IMAGE, "cut off"),
        (encoded(Image.new("RGB", (600, 600), "red"), "JPEG")[:700], DAMAGED_IMAGE, "cut off"),
        (encoded(Image.effect_noise((300, 300), 90))[:9000], DAMAGED_IMAGE, "cut off"),
        (hostile.png(hostile.png_header(40, 40), hostile.png_pixels(64)), DAMAGED_IMAGE, "cut off"),
        (hostile.png(hostile.png_header(60_000, 60_000)), IMAGE_TOO_LARGE, "60000 x 60000 pixels"),
        (hostile.png(hostile.png_header(700_000, 1, 1, 0)), IMAGE_TOO_LARGE, "to a side"),
        (hostile.png(hostile.png_header(1, 700_000, 1, 0)), IMAGE_TOO_LARGE, "to a side"),
        (b"\0" * (ImageLimits().max_bytes + 1), IMAGE_TOO_LARGE, "bytes"),
    ],
)
def test_what_is_no_whole_picture_is_refused_with_the_reason(data: bytes, reason: str, words: str) -> None:
    """Empty, foreign, damaged and oversized bytes are told apart by a reason, and by words."""
    with pytest.raises(InvalidArgument, match=words) as caught:
        images.decode(data, SIZE)
    assert (caught.value.field, caught.value.reason) == ("image", reason)


def test_a_refusal_keeps_no_picture_in_memory() -> None:
    """The errors of a batch live until all of it is done; the half decoded pictures must not."""
    with pytest.raises(InvalidArgument) as caught:
        images.decode(encoded(Image.effect_noise((300, 300), 90))[:9000], SIZE)
    assert caught.value.__context__ is None
    held = [value for entry in caught.traceback for value in entry.frame.f_locals.values()]
    assert not any(isinstance(value, Image.Image) for value in held)


@pytest.mark.parametrize(
    "limits", [ImageLimits(max_pixels=4096), ImageLimits(max_side=64), ImageLimits(max_bytes=64)]
)
def test_limits_are_the_callers_choice(limits: ImageLimits) -> None:
    """A caller may allow fewer pixels, shorter sides or fewer bytes."""
    with pytest.raises(InvalidArgument, match=r"at most (4096|64) are allowed") as caught:
        images.decode(encoded(Image.new("RGB", (65, 64))), SIZE, limits=limits)
    assert caught.value.reason == IMAGE_TOO_LARGE
    assert images.decode(encoded(Image.new("RGB", (64, 64))), SIZE).shape == (SIZE, SIZE, 3)


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True, "exif": hostile.exif(6)}),
        ("PNG", {"exif": hostile.exif(6)}),
        ("GIF", {"transparency": 1}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True, "exif": hostile.exif(6)}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "jpeg"}),
        ("AVIF", {}),
    ],
)
def test_wherever_a_file_is_cut_off_it_is_whole_or_damaged(form: str, options: dict[str, object]) -> None:
    """Each beginning of a file gives the picture's own pixels or DAMAGED_IMAGE; nothing is made up."""
    picture = Image.effect_noise((13, 11), 80).convert("P" if form == "GIF" else "RGB")
    whole = encoded(picture, form, **options)
    wanted = images.decode(whole, 8)
    refused = 0
    for length in range(1, len(whole)):
        try:
            assert np.array_equal(images.decode(whole[:length], 8), wanted), length
        except InvalidArgument as error:
            refused += 1
            # Before the first bytes are there, it might be anything.
            assert error.reason == DAMAGED_IMAGE or (error.reason == NOT_AN_IMAGE and length < 12), error
    assert refused > len(whole) / 2


@pytest.mark.parametrize("scale", [1, 8])
def test_threads_do_not_disturb_each_other(scale: int) -> None:
    """Many pictures of all formats decoded at once are the same as one after the other."""
    noise = np.random.default_rng(0).integers(0, 255, (24, 24, 3), dtype=np.uint8)
    pictures = [
        encoded(Image.fromarray(np.roll(noise, shift)).resize((24 * scale, 24 * scale)), form)
        for form in FORMATS
        for shift in range(4)
    ]
    wanted = [images.decode(data, SIZE) for data in pictures]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            decoded = pool.map(lambda data: images.decode(data, SIZE), pictures)
            assert all(np.array_equal(*pair) for pair in zip(decoded, wanted, strict=True))


def _hostile_files() -> dict[str, bytes]:
    """Not made unless they are needed, nor kept: they are some hundred megabytes."""
    return {
        "a frame far out of a GIF's canvas": hostile.gif(b"!\xf9\4\x08\0\0\0\0", (0, 0, 65535, 65535)),
        "a GIF's comments": hostile.gif(b"!\xfe" + b"\2ab" * 6_000_000 + b"\0"),
        "a GIF's empty extensions": hostile.gif(b"!\xff\0" * 6_000_000),
        "a JPEG's comments": hostile.jpeg_with(b"\xff\xfe\0\2" * 4_900_000),
        "a JPEG's many pieces of Exif": hostile.jpeg_with(b"\xff\xe1\0\x09Exif\0\0x" * 1_000_000),
        "a JPEG's padding": hostile.jpeg_with(b"\xff" * 20_000_000),
        "a JPEG's scans": hostile.jpeg_of_scans(1_500_000, 7000),
        "a JPEG's tables": hostile.jpeg_with(hostile.jpeg_segment(0xDB, b"\0" + b"\1" * 64) * 1000),
        "a BMP's runs": hostile.bmp_of_runs(10_000, 5_000),
        "a PNG's chunks": hostile.png(
            hostile.png_header(1, 1), hostile.png_chunk(b"abCd", b"") * 1_600_000, hostile.png_pixels(4)
        ),
        "a PNG's texts": hostile.png(
            hostile.png_header(1, 1),
            *[hostile.png_chunk(b"zTXt", b"k\0\0" + hostile.compressed_zeros(2**20))] * 15_000,
            hostile.png_pixels(4),
        ),
        "a PNG's profile": hostile.png(
            hostile.png_header(1, 1),
            hostile.png_chunk(b"iCCP", b"p\0\0" + hostile.compressed_zeros(2**30)),
            hostile.png_pixels(4),
        ),
        "a PNG's pixels": hostile.png(hostile.png_header(1, 1), hostile.png_pixels(2**30)),
        "a PNG's width": hostile.png(hostile.png_header(50_000_000, 1, 8, 0), hostile.png_pixels(50_000_001)),
        "a TIFF's strips": hostile.tiff({278: (4, 1, 1), 273: (4, 4_900_000, b"\x08\0\0\0" * 4_900_000)}),
        "a TIFF's fractions": hostile.tiff({282: (5, 2_400_000, b"\1\0\0\0\3\0\0\0" * 2_400_000)}),
        "a TIFF's rows per strip": hostile.tiff({259: (3, 1, 8), 278: (4, 1, 200_000_000)}),
        "a TIFF's tiles": hostile.tiff(
            {259: (3, 1, 8), 322: (4, 1, 40_000), 323: (4, 1, 40_000), 324: (4, 1, 8), 325: (4, 1, 10**6)},
            hostile.compressed_zeros(2**30),
        ),
        "a WebP's canvas": hostile.webp_animation(65_000, 65_000, 1),
        "a WebP's frames": hostile.webp_animation(1, 1, 300_000),
        "an AVIF's container": hostile.avif_that_lies(8192, 10),
    }


def test_hostile_files_take_neither_memory_nor_time(tmp_path: Path) -> None:
    """Each file that promises much more than it holds costs less than 64 MiB and 20 seconds of a core.

    Read as they are, the worst of them take 4 GiB, and hours.
    """
    files = {tmp_path / name: data for name, data in _hostile_files().items()}
    for path, data in files.items():
        assert len(data) <= ImageLimits().max_bytes
        path.write_bytes(data)
    for path, cost in zip(files, _costs(files), strict=True):
        name = path.name
        assert cost["grown_bytes"] < 64 * 2**20, (name, cost)
        assert cost["cpu_s"] < 20, (name, cost)


@pytest.mark.parametrize(
    ("form", "mode", "options"),
    [
        ("JPEG", "RGB", {}),
        ("JPEG", "CMYK", {"progressive": True, "subsampling": 0}),
        ("PNG", "RGBA", {}),
        ("PNG", "I;16", {}),
        ("PNG", "P", {"transparency": 3}),
        ("GIF", "P", {"transparency": 3}),
        ("BMP", "P", {}),
        ("TIFF", "RGBA", {"compression": "tiff_adobe_deflate", "tiffinfo": {278: 3000}}),
        ("WEBP", "RGBA", {"lossless": True, "method": 0}),
        ("AVIF", "RGBA", {"speed": 10, "subsampling": "4:4:4"}),
    ],
)
def test_a_picture_takes_no_more_memory_than_it_asks_for(
    tmp_path: Path, form: str, mode: str, options: dict[str, object]
) -> None:
    """What a large picture of each kind takes at most is what it waits for before it is decoded."""
    picture = Image.new(mode, (3000, 3000))
    if mode == "RGBA":
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    path = tmp_path / "picture"
    path.write_bytes(encoded(picture, form, **options))
    (cost,) = _costs([path])
    assert cost["refused"] is None
    assert cost["grown_bytes"] <= cost["held_bytes"] + 24 * 2**20, cost


def _costs(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """What decoding each file takes in a fresh process; see `tests.embedder.peak_memory`."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.embedder.peak_memory", *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return [json.loads(line) for line in ended.stdout.splitlines()]


@given(st.binary(max_size=300), st.sampled_from(FORMATS), st.integers(0, 400))
def test_no_bytes_raise_anything_else(junk: bytes, form: str, place: int) -> None:
    """However a picture is damaged, the outcome is pixels or InvalidArgument with one of the reasons."""
    whole = encoded(halves("red", "blue", (20, 20)), form)
    damaged = whole[:place] + junk + whole[place + len(junk) :]
    try:
        assert images.decode(damaged, SIZE).shape == (SIZE, SIZE, 3)
    except InvalidArgument as error:
        assert error.message
        assert error.reason in {EMPTY_IMAGE, NOT_AN_IMAGE, DAMAGED_IMAGE, IMAGE_TOO_LARGE}

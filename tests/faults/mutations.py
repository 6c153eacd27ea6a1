"""Pictures of every format, and what becomes of them when bytes are changed with intent to harm."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from functools import cache

from PIL import Image

from tests.embedder.drawings import encoded
from tests.mesh.pictures import hostile

SIDES = (24, 18)

_EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 2**31 - 1, 2**31, 2**32 - 1)
_SIGNATURES = (
    b"\xff\xd8\xff\xe0\0\x10JFIF\0",
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    b"GIF89a",
    b"BM",
    b"II*\0\x08\0\0\0",
    b"MM\0*\0\0\0\x08",
    b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0",
    b"RIFF\x40\0\0\0WEBPVP8 ",
    b"RIFF\x40\0\0\0WEBPVP8L",
    b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf",
)

Mutation = Callable[[random.Random, bytes], bytes]


@cache
def pictures() -> tuple[bytes, ...]:
    """Whole pictures, small ones, in every format and most of its kinds."""
    # Neither flat nor noise, so that all stages of the codecs have something to do.
    colours = Image.merge(
        "RGB",
        [
            Image.linear_gradient("L").rotate(turn).resize(SIDES, Image.Resampling.BICUBIC)
            for turn in (0, 90, 180)
        ],
    )
    see_through = colours.copy()
    see_through.putalpha(Image.radial_gradient("L").resize(SIDES))
    grey = colours.convert("L")
    palette = colours.quantize(16)
    noted = {"exif": hostile.exif(6), "icc_profile": b"profile" * 20}
    jpegs = [
        encoded(picture, "JPEG", **options)
        for picture in (colours, grey, colours.convert("CMYK"))
        for options in ({}, {"progressive": True}, {"restart_marker_blocks": 1}, noted)
    ]
    pngs = [
        encoded(picture.convert(mode), "PNG", **options)
        for picture, mode in (
            (colours, "RGB"),
            (see_through, "RGBA"),
            (see_through, "LA"),
            (grey, "L"),
            (grey, "1"),
        )
        for options in ({}, noted)
    ]
    pngs += [encoded(palette, "PNG", transparency=3), encoded(grey.convert("I;16"), "PNG")]
    tiffs = [
        encoded(colours, "TIFF", compression=compression)
        for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
    ]
    tiffs += [encoded(picture, "TIFF") for picture in (grey, palette, see_through, colours.convert("CMYK"))]
    tiffs += [encoded(grey.convert(mode), "TIFF", compression="tiff_lzw") for mode in ("1", "I", "I;16", "F")]
    webps = [
        encoded(picture, "WEBP", **options)
        for picture in (colours, see_through)
        for options in ({}, {"lossless": True}, noted)
    ]
    avifs = [
        encoded(picture, "AVIF", speed=10, **options)
        for picture, options in ((colours, {}), (see_through, {"subsampling": "4:4:4"}), (colours, noted))
    ]
    films = [
        # A frame that was saved in one format keeps options of it that another chokes on.
        encoded(colours.copy(), form, save_all=True, append_images=[colours.rotate(90)], **options)
        for form, options in (
            ("GIF", {"disposal": 2}),
            ("WEBP", {"lossless": True}),
            ("AVIF", {"speed": 10}),
            ("PNG", {}),
            ("MPO", {}),
            ("TIFF", {"compression": "tiff_lzw"}),
        )
    ]
    gifs = [encoded(palette, "GIF"), encoded(palette, "GIF", transparency=2, comment=b"a comment")]
    bmps = [encoded(picture, "BMP") for picture in (colours, grey, palette, grey.convert("1"), see_through)]
    return tuple(jpegs + pngs + tiffs + webps + avifs + films + gifs + bmps)


def mutated(seed: int, number: int) -> bytes:
    """The input of that number, always the same for the same seed."""
    chance = random.Random(f"{seed}:{number}")
    data = chance.choice(pictures())
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3))):
        data = chance.choice(_MUTATIONS)(chance, data)
    return data


def _place(chance: random.Random, data: bytes) -> int:
    # Headers are where lengths and sizes are.
    within = len(data) if chance.random() < 0.5 else min(len(data), 128)
    return chance.randrange(within + 1)


def _piece(chance: random.Random, data: bytes) -> tuple[int, int]:
    start = _place(chance, data)
    return start, min(len(data), start + chance.choice((1, 2, 4, 8, 16, 64, 256)))


def _flip_bits(chance: random.Random, data: bytes) -> bytes:
    flipped = bytearray(data)
    for _ in range(chance.choice((1, 2, 4, 16)) if data else 0):
        flipped[min(_place(chance, data), len(data) - 1)] ^= 1 << chance.randrange(8)
    return bytes(flipped)


def _write_random(chance: random.Random, data: bytes) -> bytes:
    start, end = _piece(chance, data)
    return data[:start] + chance.randbytes(end - start) + data[end:]


def _splice(chance: random.Random, data: bytes) -> bytes:
    other = chance.choice(pictures())
    start, end = _piece(chance, other)
    place = _place(chance, data)
    return data[:place] + other[start:end] + data[place + chance.choice((0, end - start)) :]


def _truncate(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _remove(chance: random.Random, data: bytes) -> bytes:
    start, end = _piece(chance, data)
    return data[:start] + data[end:]


def _repeat(chance: random.Random, data: bytes) -> bytes:
    start, end = _piece(chance, data)
    return data[:end] + data[start:end] * chance.choice((1, 2, 16, 256)) + data[end:]


def _write_extreme(chance: random.Random, data: bytes) -> bytes:
    """A number that many a check is off by one for, in the place of any."""
    size_bytes = chance.choice((1, 2, 3, 4))
    number = chance.choice(_EXTREMES) & (1 << 8 * size_bytes) - 1
    place = _place(chance, data)
    written = number.to_bytes(size_bytes, chance.choice(("little", "big")))
    return data[:place] + written + data[place + size_bytes :]


def _resize(chance: random.Random, data: bytes) -> bytes:
    """Another width or height, wherever the true one is written."""
    side = chance.choice((*SIDES, SIDES[0] - 1, SIDES[1] - 1))
    layout = chance.choice((">H", "<H", ">I", "<I"))
    most = (1 << 8 * struct.calcsize(layout)) - 1
    new = min(chance.choice((0, 1, side + 1, 1000, 1024, 4097, 65_535, 2**31 - 1, 2**32 - 1)), most)
    return data.replace(struct.pack(layout, side), struct.pack(layout, new), chance.choice((1, 1, -1)))


def _append(chance: random.Random, data: bytes) -> bytes:
    return data + chance.choice(pictures())


def _sign(chance: random.Random, data: bytes) -> bytes:
    """The beginning of some format, and then nothing of the kind."""
    rest = chance.choice((data, chance.randbytes(chance.choice((0, 16, 300)))))
    return chance.choice(_SIGNATURES) + rest


def _mend_checksums(chance: random.Random, data: bytes) -> bytes:
    """A chunk of a PNG is changed and its checksum is right again; other formats have none."""
    if not data.startswith(b"\x89PNG"):
        return _write_extreme(chance, data)
    chunks = []
    position = 8
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        chunks.append((data[position + 4 : position + 8], data[position + 8 : position + 8 + length]))
        position += 12 + length
    changed = chance.randrange(len(chunks)) if chunks else -1
    mended = data[:8]
    for number, (kind, body) in enumerate(chunks):
        new = _write_extreme(chance, body) if number == changed else body
        if kind == b"IDAT" and number == changed and chance.random() < 0.5:
            new = zlib.compress(chance.randbytes(chance.choice((0, 100, 5000))))
        mended += hostile.png_chunk(kind, new)
    return mended


_MUTATIONS: tuple[Mutation, ...] = (
    _flip_bits,
    _write_random,
    _splice,
    _truncate,
    _remove,
    _repeat,
    _write_extreme,
    _write_extreme,
    _resize,
    _resize,
    _append,
    _sign,
    _mend_checksums,
)

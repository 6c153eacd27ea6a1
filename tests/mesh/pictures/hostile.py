"""Files that a decoder should never see whole, written by hand: they promise much more than they hold."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt
from PIL import Image

from tests.embedder.drawings import encoded

JPEG_START, JPEG_END, SCAN = b"\xff\xd8", b"\xff\xd9", b"\xff\xda"


def png(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + png_chunk(b"IEND", b"")


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width: int, height: int, bits: int = 8, colour: int = 2) -> bytes:
    return png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))


def png_pixels(size_bytes: int) -> bytes:
    """Black, or transparent; each row begins with a byte of its own."""
    return png_chunk(b"IDAT", compressed_zeros(size_bytes))


def png_pixels_of(samples: npt.NDArray[np.generic]) -> bytes:
    """Pixels [height, width, ...], big-endian."""
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    return png_chunk(b"IDAT", zlib.compress(rows))


def compressed_zeros(size_bytes: int) -> bytes:
    """Zlib's stream of that many zeros, of equal pieces that are compressed once."""
    compressor = zlib.compressobj(9)
    start = compressor.flush(zlib.Z_FULL_FLUSH)
    zeros = bytes(2**20)
    piece = compressor.compress(zeros) + compressor.flush(zlib.Z_FULL_FLUSH)
    end = compressor.compress(bytes(size_bytes % len(zeros))) + compressor.flush()
    checksum = struct.pack(">HH", size_bytes % 65521, 1)
    return start + piece * (size_bytes // len(zeros)) + end[:-4] + checksum


def jpeg_with(segments: bytes, **options: object) -> bytes:
    """A small JPEG with more behind its first marker."""
    whole = encoded(Image.new("RGB", (16, 16), "red"), "JPEG", **options)
    return whole[:2] + segments + whole[2:]


def jpeg_segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def jpeg_of_scans(scans: int, side: int = 16) -> bytes:
    """A progressive JPEG that goes over its coefficients again and again."""
    whole = encoded(Image.new("RGB", (16, 16), "red"), "JPEG", progressive=True)
    frame = whole.index(b"\xff\xc2")
    whole = whole[: frame + 5] + struct.pack(">HH", side, side) + whole[frame + 9 :]
    empty = jpeg_segment(0xDA, b"\1\1\0\1\5\0") + b"\0"
    return whole[:-2] + empty * (scans - whole.count(SCAN)) + JPEG_END


def lossless_jpeg(side: int) -> bytes:
    table = jpeg_segment(0xC4, b"\0" + bytes([0, 2] + [0] * 14) + b"\0\1")
    frame = jpeg_segment(0xC3, struct.pack(">BHHB", 8, side, side, 1) + b"\1\x11\0")
    return JPEG_START + frame + table + jpeg_segment(0xDA, b"\1\1\0\1\0\0") + bytes(side * side) + JPEG_END


def gif(before_frame: bytes, frame: tuple[int, int, int, int] = (0, 0, 2, 2)) -> bytes:
    """A GIF of 2 x 2 black pixels whose frame may declare to be elsewhere, and larger."""
    head = b"GIF89a" + struct.pack("<HHBBB", 2, 2, 0x80, 0, 0) + bytes(6)
    return head + before_frame + b"," + struct.pack("<HHHHB", *frame, 0) + b"\x02\x02\x84\x51\0;"


def bmp_of_runs(width: int, height: int) -> bytes:
    """One pixel and the end of the line, for every line."""
    rows = b"\x01\x05\0\0" * height
    palette = b"".join(bytes([shade, 0, shade, 0]) for shade in range(256))
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(rows), 0, 0, 256, 0)
    start = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + header + palette + rows


def tiff(tags: dict[int, tuple[int, int, int | bytes]], pixels: bytes = bytes(64)) -> bytes:
    """A TIFF of 8 x 8 grey pixels with `tags` (type, count, value or bytes of values) beside or instead."""
    values: dict[int, tuple[int, int, int | bytes]] = {
        256: (4, 1, 8),
        257: (4, 1, 8),
        258: (3, 1, 8),
        259: (3, 1, 1),
        262: (3, 1, 1),
        273: (4, 1, 8),
        277: (3, 1, 1),
        278: (4, 1, 8),
        279: (4, 1, 64),
        **tags,
    }
    body = pixels
    entries = []
    for tag, (kind, count, value) in sorted(values.items()):
        if isinstance(value, bytes):
            entries.append(struct.pack("<HHII", tag, kind, count, 8 + len(body)))
            body += value
        else:
            entries.append(struct.pack("<HHII", tag, kind, count, value))
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + directory


def webp(*chunks: bytes) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def webp_animation(width: int, height: int, frames: int) -> bytes:
    """An animation of single pixels on a canvas of that size."""
    pixel = encoded(Image.new("RGB", (1, 1), "red"), "WEBP", lossless=True)[12:]
    sides = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    frame = webp_chunk(b"ANMF", bytes(12) + b"\x0a\0\0\0" + pixel)
    header = webp_chunk(b"VP8X", b"\x02\0\0\0" + sides)
    return webp(header, webp_chunk(b"ANIM", bytes(6)), *[frame] * frames)


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", len(body) + 8) + kind + body


def avif_that_lies(side: int, declared: int) -> bytes:
    """An AVIF of `side` x `side` pixels whose container declares another size."""
    whole = encoded(Image.new("RGB", (side, side), "red"), "AVIF", speed=10)
    return whole.replace(struct.pack(">II", side, side), struct.pack(">II", declared, declared))


def exif(orientation: int) -> bytes:
    noted = Image.Exif()
    noted[0x0112] = orientation
    return noted.tobytes()


def animation(form: str, **options: object) -> bytes:
    """Red, green, blue."""
    first, *rest = (Image.new("RGB", (24, 24), colour) for colour in ("red", "green", "blue"))
    return encoded(first, form, save_all=True, append_images=rest, **options)

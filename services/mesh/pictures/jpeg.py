"""JPEG: the tables, the frame header and the scans.

Source: ITU-T T.81, annex B; JFIF 1.02; Adobe's APP14 as libjpeg reads it.
"""

from __future__ import annotations

import re
import struct

from services.mesh.pictures import exif
from services.mesh.pictures.essence import Damaged, Essence, NotRead, TooLarge

# Segments before the first scan. A photo has about ten, one with a colour profile of 16 MiB about 270.
MAX_SEGMENTS = 1024
# Quantisation and Huffman tables together take less than 4 KiB.
MAX_TABLES_BYTES = 65_536
# Progressive photos have about ten. Each goes over the whole picture, and takes a file only a dozen bytes.
MAX_SCANS = 64

_SOI, _EOI, _SOS, _DHT, _DQT, _DRI = 0xD8, 0xD9, 0xDA, 0xC4, 0xDB, 0xDD
_APP0, _APP1, _APP14 = 0xE0, 0xE1, 0xEE
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
# Lossless, hierarchical and arithmetic-coded pictures, which no browser shows.
_RARE_FRAMES = frozenset(range(0xC3, 0xD0)) - {_DHT, 0xC8, 0xCC}
_WITHOUT_BODY = frozenset({0x01, *range(0xD0, _SOS)})
# Both skip junk at the speed of C, and in a run of any length of 0xFF only its last one is looked at.
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_SCAN_OR_END = re.compile(rb"\xff[\xd9\xda]")
_EXIF = b"Exif\0\0"


def is_jpeg(data: bytes) -> bool:
    """Whether the first bytes are those of the format."""
    return data.startswith(b"\xff\xd8\xff")


def essence(data: bytes) -> Essence:
    """Tables, frame header and scans, and the colour transform that JFIF's and Adobe's segments tell.

    Raises Damaged, NotRead, TooLarge.
    """
    kept = [b"\xff\xd8"]
    tables_bytes = 0
    frame: tuple[int, int, int, int] | None = None
    orientation: int | None = None
    position = 2
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.search(data, position)
        if found is None:
            raise Damaged("it ends before its pixels begin")
        marker = data[found.start() + 1]
        position = found.end()
        if marker in _WITHOUT_BODY:
            continue
        body, position = _segment(data, position)
        if marker == _SOS:
            if frame is None:
                raise Damaged("its pixels begin before its size is known")
            kind, height, width, components = frame
            # The coefficients of the whole picture are kept, unless one scan alone has all of them; then
            # decoders take no second one.
            in_scans = kind == _PROGRESSIVE or body[:1] != bytes([components])
            if in_scans:
                _check_scans(data, position)
            kept.append(data[found.start() :])
            return Essence(b"".join(kept), width, height, orientation or 1, 2 * components if in_scans else 0)
        if marker in {_BASELINE, _EXTENDED, _PROGRESSIVE}:
            if frame is not None:
                raise Damaged("it tells its size twice")
            frame = (marker, *_frame(body))
        elif marker in _RARE_FRAMES:
            raise NotRead("this kind of JPEG (lossless, hierarchical or arithmetic-coded) is not read")
        elif marker == _APP1 and body.startswith(_EXIF) and orientation is None:
            orientation = exif.orientation(body)
        if marker in {_DQT, _DHT}:
            tables_bytes += len(body)
            if tables_bytes > MAX_TABLES_BYTES:
                raise TooLarge(f"the image has more than {MAX_TABLES_BYTES} bytes of tables")
        if _is_needed(marker, body):
            kept.append(data[found.start() : position])
    raise TooLarge(f"the image has more than {MAX_SEGMENTS} segments before its pixels")


def _segment(data: bytes, position: int) -> tuple[bytes, int]:
    """The body of the segment whose length is at `position`, and where the next one begins."""
    length = int.from_bytes(data[position : position + 2])
    end = position + length
    if length < 2 or end > len(data):
        raise Damaged("it is cut off before its pixels begin")
    return data[position + 2 : end], end


def _frame(body: bytes) -> tuple[int, int, int]:
    """Height, width and number of components."""
    try:
        _, height, width, components = struct.unpack_from(">BHHB", body)
    except struct.error as error:
        raise Damaged("its frame header is cut off") from error
    if not (width and height and components):
        raise Damaged("it declares no size")
    return height, width, components


def _is_needed(marker: int, body: bytes) -> bool:
    if marker in {_BASELINE, _EXTENDED, _PROGRESSIVE, _DQT, _DHT, _DRI}:
        return True
    return (marker == _APP0 and body.startswith(b"JFIF")) or (marker == _APP14 and body.startswith(b"Adobe"))


def _check_scans(data: bytes, position: int) -> None:
    # A quick count first, which also finds what follows the picture: a second one, a film.
    if data.count(b"\xff\xda", position) < MAX_SCANS:
        return
    scans = 1
    for found in _SCAN_OR_END.finditer(data, position):
        if data[found.start() + 1] == _EOI:
            return
        scans += 1
        if scans > MAX_SCANS:
            raise TooLarge(f"the image has more than {MAX_SCANS} scans")

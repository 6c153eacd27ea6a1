"""WebP: the still picture or the first frame.

Source: WebP Container Specification (RFC 9649, section 2); the frame headers of VP8 (RFC 6386, section 9.1)
and of VP8L (RFC 9649, section 3.4).
"""

from __future__ import annotations

import struct

from services.mesh.pictures import exif
from services.mesh.pictures.essence import MAX_PARTS, Damaged, Essence, TooLarge

_ALPHA, _ANIMATION = 0x10, 0x02
_HEADER_BYTES = 12
# Two canvases, the frame's own buffer and the copy that is handed out.
_DECODER_BYTES_PER_PIXEL = 16


def is_webp(data: bytes) -> bool:
    """Whether the first bytes are those of the format."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def essence(data: bytes) -> Essence:
    """Of an animation only the first frame. Raises Damaged, TooLarge."""
    try:
        return _walk(data)
    except (struct.error, IndexError) as error:
        raise Damaged("it is cut off in its header") from error


def _walk(data: bytes) -> Essence:
    (size_bytes,) = struct.unpack_from("<I", data, 4)
    if size_bytes + 8 > len(data):
        raise Damaged("it is cut off")
    first = data[12:16]
    if first == b"VP8X":
        chunks, orientation = _extended(data)
        width, height = _u24(data, 24) + 1, _u24(data, 27) + 1
    elif first == b"VP8L":
        chunks, orientation = [_chunk(data, _HEADER_BYTES)], 1
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif first == b"VP8 ":
        chunks, orientation = [_chunk(data, _HEADER_BYTES)], 1
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        raise Damaged("it does not begin with a picture")
    body = b"WEBP" + b"".join(chunks)
    file = b"RIFF" + struct.pack("<I", len(body)) + body
    return Essence(file, width, height, orientation, _DECODER_BYTES_PER_PIXEL)


def _extended(data: bytes) -> tuple[list[bytes], int]:
    """The header without the flags of what is left out, the first frame's chunks, and the orientation."""
    flags = data[20]
    head = data[12:20] + bytes([flags & (_ALPHA | _ANIMATION)]) + data[21:30]
    wanted = {b"ANIM", b"ANMF"} if flags & _ANIMATION else {b"ALPH", b"VP8 ", b"VP8L"}
    kept: dict[bytes, bytes] = {}
    orientation = 1
    position = _HEADER_BYTES + 18
    for _ in range(MAX_PARTS):
        if position + 8 > len(data):
            return [head, *kept.values()], orientation
        chunk = _chunk(data, position)
        kind = chunk[:4]
        if kind in wanted:
            kept.setdefault(kind, chunk)
        elif kind == b"EXIF":
            orientation = exif.orientation(chunk[8:])
        position += len(chunk)
    raise TooLarge(f"the image has more than {MAX_PARTS} chunks")


def _chunk(data: bytes, position: int) -> bytes:
    """The chunk at `position` with its header and padding; a last one may lack the padding."""
    (length,) = struct.unpack_from("<I", data, position + 4)
    if position + 8 + length > len(data):
        raise Damaged("it is cut off")
    return data[position : position + 8 + length + length % 2]


def _u24(data: bytes, position: int) -> int:
    if position + 3 > len(data):
        raise IndexError
    return int.from_bytes(data[position : position + 3], "little")

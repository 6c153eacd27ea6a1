"""PNG: header, palette, transparency and pixels; of an animation the picture for those who know none.

Source: PNG specification, third edition, sections 5 and 11.
"""

from __future__ import annotations

import struct

from services.mesh.pictures import exif
from services.mesh.pictures.essence import MAX_PARTS, Damaged, Essence, TooLarge

_SIGNATURE = b"\x89PNG\r\n\x1a\n"

_HEADER_BYTES = 13
# A palette of 256 colours, and their transparency.
_LONGEST = {b"IHDR": _HEADER_BYTES, b"PLTE": 768, b"tRNS": 256, b"IEND": 0}


def is_png(data: bytes) -> bool:
    """Whether the first bytes are those of the format."""
    return data.startswith(_SIGNATURE)


def essence(data: bytes) -> Essence:
    """Only the chunks that make pixels. Raises Damaged, TooLarge."""
    if data[12:16] != b"IHDR" or len(data) < 33:
        raise Damaged("it is cut off in its header")
    width, height = struct.unpack_from(">II", data, 16)
    if not (width and height):
        raise Damaged("it declares no size")
    kept = [(0, len(_SIGNATURE))]
    orientation = 1
    position = len(_SIGNATURE)
    for _ in range(MAX_PARTS):
        if position + 8 > len(data):
            break
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if length > _LONGEST.get(kind, length) or (kind == b"IHDR" and position > len(_SIGNATURE)):
            raise Damaged(f"its {kind.decode()} is not as it should be")
        if kind == b"eXIf":
            orientation = exif.orientation(data[position + 8 : end - 4])
        elif kind in _LONGEST or kind == b"IDAT":
            if kept[-1][1] == position:
                kept[-1] = (kept[-1][0], end)
            else:
                kept.append((position, end))
        position = end
        if kind == b"IEND":
            break
    else:
        raise TooLarge(f"the image has more than {MAX_PARTS} chunks")
    return Essence(b"".join(data[start:end] for start, end in kept), width, height, orientation)

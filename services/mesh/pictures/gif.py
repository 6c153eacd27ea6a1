"""GIF: the palette and the first frame with its transparency.

Source: GIF89a specification, sections 18 to 24.
"""

from __future__ import annotations

import struct

from services.mesh.pictures.essence import MAX_PARTS, Damaged, Essence, TooLarge

_EXTENSION, _FRAME, _CONTROL = 0x21, 0x2C, 0xF9
_HEADER_BYTES, _CONTROL_BYTES = 13, 8
_WITH_PALETTE = 0x80
# What becomes of the frame afterwards, for which decoders keep a second picture.
_DISPOSAL = 0b00011100


def is_gif(data: bytes) -> bool:
    """Whether the first bytes are those of the format."""
    return data.startswith((b"GIF87a", b"GIF89a"))


def essence(data: bytes) -> Essence:
    """Everything before the first frame but its control block is left out. Raises Damaged, TooLarge."""
    try:
        return _walk(data)
    except (struct.error, IndexError) as error:
        raise Damaged("it ends before its first frame") from error


def _walk(data: bytes) -> Essence:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position = _HEADER_BYTES + (3 << (flags & 7) + 1 if flags & _WITH_PALETTE else 0)
    head = data[:position]
    control = b""
    blocks = 0
    while data[position] == _EXTENSION:
        start = position
        # The empty block that ends an extension counts as well.
        position += 2
        while True:
            blocks += 1
            if blocks > MAX_PARTS:
                raise TooLarge(f"the image has more than {MAX_PARTS} blocks before its first frame")
            length = data[position]
            position += 1 + length
            if not length:
                break
        if data[start + 1] == _CONTROL and position - start == _CONTROL_BYTES:
            flags = data[start + 3] & ~_DISPOSAL
            control = data[start : start + 3] + bytes([flags]) + data[start + 4 : position]
    if data[position] != _FRAME:
        raise Damaged("it has no frame")
    left, top, frame_width, frame_height = struct.unpack_from("<HHHH", data, position + 1)
    # A frame that reaches out of the canvas makes it larger.
    width, height = max(width, left + frame_width), max(height, top + frame_height)
    return Essence(head + control + data[position:], width, height)

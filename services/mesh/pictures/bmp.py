"""BMP: uncompressed pixels.

Source: Microsoft's BITMAPCOREHEADER and BITMAPINFOHEADER.
"""

from __future__ import annotations

import struct

from services.mesh.pictures.essence import Damaged, Essence, NotRead

_CORE_HEADER_BYTES = 12
_RAW, _BITFIELDS = 0, 3


def is_bmp(data: bytes) -> bool:
    """Whether the first bytes are those of the format."""
    return data.startswith(b"BM")


def essence(data: bytes) -> Essence:
    """The file as it is. Raises Damaged, NotRead for run-length coding.

    Its decoder is written in Python and takes minutes where others take milliseconds.
    """
    try:
        (header_bytes,) = struct.unpack_from("<I", data, 14)
        if header_bytes == _CORE_HEADER_BYTES:
            width, height = struct.unpack_from("<HH", data, 18)
            return Essence(data, width, height)
        width, height, _, _, compression = struct.unpack_from("<iiHHI", data, 18)
    except struct.error as error:
        raise Damaged("it is cut off in its header") from error
    if compression not in {_RAW, _BITFIELDS}:
        raise NotRead("compressed BMP is not read")
    if width <= 0 or height == 0:
        raise Damaged("it declares no size")
    # A negative height says that the first row is the top one.
    return Essence(data, width, abs(height))

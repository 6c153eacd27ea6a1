"""The orientation that a camera notes beside a photo.

Source: Exif 2.32, section 4.6.4; the layout is that of TIFF 6.0, section 2.
"""

from __future__ import annotations

import struct

_ORIENTATION = 0x0112
_SHORT, _LONG = 3, 4
# The tags of the first directory; cameras write about fifteen.
_MAX_TAGS = 512
_PREFIX = b"Exif\0\0"


def orientation(exif: bytes) -> int:
    """Exif's Orientation, 1 to 8; 1 (upright) where there is none to be read."""
    # Some writers prefix twice.
    tiff = exif.removeprefix(_PREFIX).removeprefix(_PREFIX)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for place in range(start + 2, start + 2 + 12 * min(count, _MAX_TAGS), 12):
            tag, kind, values = struct.unpack_from(f"{order}HHI", tiff, place)
            if tag == _ORIENTATION and kind in {_SHORT, _LONG} and values == 1:
                (value,) = struct.unpack_from(order + ("H" if kind == _SHORT else "I"), tiff, place + 8)
                return value if 1 <= value <= 8 else 1
    except struct.error:  # the directory is cut off
        pass
    return 1

"""TIFF: the first page, in the compressions that cameras and image editors write.

Source: TIFF 6.0, section 2; Adobe Photoshop TIFF Technical Notes for Deflate.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from services.mesh.pictures.essence import Damaged, Essence, NotRead, TooLarge

# A strip for each row of a very tall picture.
MAX_VALUES = 65_536
# A tile is decoded whole even where it sticks out of the picture; editors write 128 x 128 to 1024 x 1024.
MAX_TILE_PIXELS = 2**22

_MAX_TAGS = 4096
_WIDTH, _LENGTH, _COMPRESSION, _ORIENTATION = 256, 257, 259, 274
_TILE_WIDTH, _TILE_LENGTH = 322, 323
# Those that say how the pixels are stored: bits, photometry, fill order, samples, planes, predictor, palette,
# extra samples and their format, JPEG tables, the subsampling of YCbCr, and where strips and tiles are.
_NEEDED = frozenset(
    {_WIDTH, _LENGTH, 258, _COMPRESSION, 262, 266, 273, 277, 278, 279, 284, 317, 320}
    | {_TILE_WIDTH, _TILE_LENGTH, 324, 325, 338, 339, 347, 529, 530, 531, 532}
)
_READ = _NEEDED | {_ORIENTATION}
# None, LZW, JPEG, PackBits, and Deflate under both its numbers.
_COMPRESSIONS = frozenset({1, 5, 7, 32773, 8, 32946})
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_NUMBERS = {1: "B", 3: "H", 4: "I"}


@dataclass(frozen=True, slots=True)
class _Tag:
    entry: bytes
    value: int | None
    """Where the tag has a single whole number."""


def is_tiff(data: bytes) -> bool:
    """Whether the first bytes are those of the format."""
    return data.startswith((b"II*\0", b"MM\0*"))


def essence(data: bytes) -> Essence:
    """The same file with a directory of one page and only the tags that make pixels.

    Raises Damaged, NotRead, TooLarge.
    """
    order = "<" if data[:2] == b"II" else ">"
    try:
        tags = _tags(data, order)
    except struct.error as error:
        raise Damaged("its directory is cut off") from error
    width, height = _number(tags, _WIDTH), _number(tags, _LENGTH)
    if not (width and height):
        raise Damaged("it declares no size")
    if _number(tags, _COMPRESSION, 1) not in _COMPRESSIONS:
        raise NotRead("this compression of TIFF is not read")
    if _number(tags, _TILE_WIDTH, 1) * _number(tags, _TILE_LENGTH, 1) > MAX_TILE_PIXELS:
        raise TooLarge(f"the image has tiles of more than {MAX_TILE_PIXELS} pixels")
    orientation = _number(tags, _ORIENTATION, 1)
    kept = [tag.entry for number, tag in sorted(tags.items()) if number in _NEEDED]
    directory = struct.pack(f"{order}H", len(kept)) + b"".join(kept) + bytes(4)
    # In the place of the other, which was no shorter: behind the file it could be taken for missing pixels.
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    return Essence(
        data[:start] + directory + data[start + len(directory) :],
        width,
        height,
        orientation if 1 <= orientation <= 8 else 1,
        # A strip may be the whole picture, of sixteen bits a sample.
        decoder_bytes_per_pixel=8,
    )


def _tags(data: bytes, order: str) -> dict[int, _Tag]:
    """The tags of the first directory by number, of each the first one."""
    tags: dict[int, _Tag] = {}
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    if count > _MAX_TAGS:
        raise TooLarge(f"the image has more than {_MAX_TAGS} tags")
    if start < 8 or start + 2 + 12 * count + 4 > len(data):
        raise Damaged("its directory is cut off")
    for place in range(start + 2, start + 2 + 12 * count, 12):
        number, kind, values, offset = struct.unpack_from(f"{order}HHII", data, place)
        if number not in _READ or number in tags:
            continue
        if kind not in _BYTES:
            raise Damaged("it has a tag of no known type")
        if values > MAX_VALUES:
            raise TooLarge(f"the image has a tag of more than {MAX_VALUES} values")
        size_bytes = values * _BYTES[kind]
        if size_bytes > 4 and offset + size_bytes > len(data):
            raise Damaged("a tag points behind its end")
        value = None
        if values == 1 and kind in _NUMBERS:
            (value,) = struct.unpack_from(order + _NUMBERS[kind], data, place + 8)
        tags[number] = _Tag(data[place : place + 12], value)
    return tags


def _number(tags: dict[int, _Tag], number: int, default: int = 0) -> int:
    if number not in tags:
        return default
    value = tags[number].value
    if value is None:
        raise Damaged("a tag that should be one number is none")
    return value

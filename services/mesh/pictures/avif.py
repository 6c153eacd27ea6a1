"""AVIF: the still picture and its transparency.

Sources: ISO/IEC 14496-12 for boxes, ISO/IEC 23008-12 (HEIF) for items, AVIF 1.1.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from services.mesh.pictures import av1
from services.mesh.pictures.essence import Damaged, Essence, NotRead, TooLarge

# Boxes of one level. A file has four at the top and a dozen in its `meta`.
_MAX_BOXES = 1024
# Items and their pieces; a picture with transparency and metadata has four.
_MAX_ITEMS = 64
_MAX_EXTENTS = 256
# Planes of up to sixteen bits with transparency, and the interleaved pixels twice.
_DECODER_BYTES_PER_PIXEL = 16
_PICTURE = b"av01"
# Pictures put together from other pictures, whose size only the composition tells.
_COMPOSED = frozenset({b"grid", b"iovl", b"iden", b"sato"})
_IN_FILE, _IN_META = 0, 1


@dataclass(slots=True)
class _Box:
    start: int
    """Of the box, header included."""
    kind: bytes
    body: int
    end: int


@dataclass(slots=True)
class _Item:
    construction: int
    extents: list[tuple[int, int]] = field(default_factory=list)
    """Offset and length of each piece."""


def is_avif(data: bytes) -> bool:
    """Whether the file says that it is one."""
    if data[4:8] != b"ftyp":
        return False
    brands = data[8 : min(int.from_bytes(data[:4]), 256)]
    return any(brands[place : place + 4] in {b"avif", b"avis"} for place in range(0, len(brands), 4))


def essence(data: bytes) -> Essence:
    """The same file, in which everything but the coded still pictures is renamed to what readers skip.

    Films, profiles and notes stay in place, since items are found by their offset in the file. The size is
    the largest that a coded picture declares: the container may declare another, but this is what a decoder
    allocates. Orientation stays with the container. Raises Damaged, NotRead, TooLarge.
    """
    try:
        return _walk(data)
    except (struct.error, IndexError) as error:
        raise Damaged("it is cut off in its header") from error


def _walk(data: bytes) -> Essence:
    file = bytearray(data)
    meta: _Box | None = None
    for box in _boxes(data, 0, len(data)):
        if box.kind == b"ftyp":
            # Of a film with a still picture the still picture is shown.
            file[box.body : box.end] = data[box.body : box.end].replace(b"avis", b"avif")
        elif box.kind == b"meta" and meta is None:
            meta = box
        elif box.kind != b"mdat":
            file[box.start + 4 : box.start + 8] = b"free"
    if meta is None:
        raise Damaged("it has no picture")
    inner = {box.kind: box for box in _boxes(data, meta.body + 4, meta.end)}
    if not {b"iinf", b"iloc"} <= inner.keys():
        raise Damaged("it has no picture")
    pictures = set()
    for number, place in _item_types(data, inner[b"iinf"]):
        kind = data[place : place + 4]
        if kind in _COMPOSED:
            raise NotRead("AVIF composed of several pictures is not read")
        if kind == _PICTURE:
            pictures.add(number)
        else:
            file[place : place + 4] = b"free"
    width = height = 0
    for number, item in _locations(data, inner[b"iloc"]):
        if number in pictures:
            for sides in av1.sizes(_payload(data, item, inner.get(b"idat"))):
                width, height = max(width, sides[0]), max(height, sides[1])
    if not width:
        raise Damaged("it has no picture")
    return Essence(bytes(file), width, height, decoder_bytes_per_pixel=_DECODER_BYTES_PER_PIXEL)


def _boxes(data: bytes, position: int, end: int) -> Iterator[_Box]:
    for _ in range(_MAX_BOXES):
        if position + 8 > end:
            return
        length, kind = struct.unpack_from(">I4s", data, position)
        body = position + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, body)
            body += 8
        box_end = end if length == 0 else position + length
        if box_end < body or box_end > end:
            raise Damaged("it is cut off")
        yield _Box(position, kind, body, box_end)
        position = box_end
    raise TooLarge(f"the image has more than {_MAX_BOXES} boxes")


def _item_types(data: bytes, box: _Box) -> Iterator[tuple[int, int]]:
    """Each item's number and where its type is written."""
    position = box.body + (6 if data[box.body] == 0 else 8)
    for entry in _boxes(data, position, box.end):
        version = data[entry.body]
        if entry.kind != b"infe" or version < 2:
            raise Damaged("it has an item without a type")
        layout = ">HH" if version == 2 else ">IH"
        number, _ = struct.unpack_from(layout, data, entry.body + 4)
        place = entry.body + 4 + struct.calcsize(layout)
        if place + 4 > entry.end:
            raise Damaged("it has an item without a type")
        yield number, place


def _locations(data: bytes, box: _Box) -> Iterator[tuple[int, _Item]]:
    """Each item's number and where its bytes are."""
    reader = _Fields(data, box.body, box.end)
    version = reader.number(1)
    reader.number(3)
    sizes = reader.number(2)
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version else 0
    count = reader.number(2 if version < 2 else 4)
    if count > _MAX_ITEMS:
        raise TooLarge(f"the image has more than {_MAX_ITEMS} items")
    for _ in range(count):
        number = reader.number(2 if version < 2 else 4)
        item = _Item(reader.number(2) & 15 if version else _IN_FILE)
        reader.number(2)
        base = reader.number(base_size)
        extents = reader.number(2)
        if extents > _MAX_EXTENTS:
            raise TooLarge(f"the image has an item of more than {_MAX_EXTENTS} pieces")
        for _ in range(extents):
            reader.number(index_size)
            offset = base + reader.number(offset_size)
            item.extents.append((offset, reader.number(length_size)))
        yield number, item


def _payload(data: bytes, item: _Item, idat: _Box | None) -> bytes:
    start, end = 0, len(data)
    if item.construction == _IN_META and idat is not None:
        start, end = idat.body, idat.end
    elif item.construction != _IN_FILE:
        raise Damaged("its pixels are in no place that is known")
    # A length of zero means the rest.
    pieces = [(start + offset, start + offset + length if length else end) for offset, length in item.extents]
    if any(not start <= piece_start <= piece_end <= end for piece_start, piece_end in pieces):
        raise Damaged("its pixels are cut off")
    # Pieces may overlap, and readers put copies of them together.
    if sum(piece_end - piece_start for piece_start, piece_end in pieces) > end - start:
        raise Damaged("its pixels are larger than the file")
    return b"".join(data[piece_start:piece_end] for piece_start, piece_end in pieces)


class _Fields:
    """Big-endian numbers, one after the other."""

    def __init__(self, data: bytes, position: int, end: int) -> None:
        self._data = data
        self._position = position
        self._end = end

    def number(self, size_bytes: int) -> int:
        start = self._position
        self._position += size_bytes
        if self._position > self._end:
            raise Damaged("it is cut off in its header")
        return int.from_bytes(self._data[start : self._position])

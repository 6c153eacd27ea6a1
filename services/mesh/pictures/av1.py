"""How large the pictures in a stream of AV1 are.

Source: AV1 Bitstream & Decoding Process Specification, sections 4.10.5 (leb128), 5.3 (OBUs) and 5.5 (sequence
header).
"""

from __future__ import annotations

from collections.abc import Iterator

from services.mesh.pictures.essence import Damaged, TooLarge

_SEQUENCE_HEADER = 1
# A still picture has a sequence header, a frame and perhaps some metadata.
_MAX_UNITS = 1024
# More than the longest sequence header.
_HEADER_BYTES = 512


def sizes(stream: bytes) -> Iterator[tuple[int, int]]:
    """Width and height in pixels, the most that frames may have, of every sequence header.

    Raises Damaged, TooLarge.
    """
    position = 0
    for _ in range(_MAX_UNITS):
        if position >= len(stream):
            return
        head = stream[position]
        position += 2 if head & 0b100 else 1
        length = len(stream) - position
        if head & 0b10:
            length, position = _leb128(stream, position)
        if position + length > len(stream):
            raise Damaged("its pixels are cut off")
        if head >> 3 & 15 == _SEQUENCE_HEADER:
            yield _sides(_Bits(stream[position : position + min(length, _HEADER_BYTES)]))
        position += length
    raise TooLarge(f"the image has more than {_MAX_UNITS} units")


def _leb128(stream: bytes, position: int) -> tuple[int, int]:
    value = 0
    for place, byte in enumerate(stream[position : position + 8]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, position + place + 1
    raise Damaged("its pixels are cut off")


class _Bits:
    """Bits from the highest of the first byte on."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data)
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise Damaged("its sequence header is cut off")
        return self._value >> self._left & (1 << count) - 1


def _sides(bits: _Bits) -> tuple[int, int]:
    bits.take(4)  # profile, still picture
    if bits.take(1):  # the reduced header of still pictures
        bits.take(5)  # level
    else:
        _skip_operating_points(bits)
    width_bits = bits.take(4) + 1
    height_bits = bits.take(4) + 1
    return bits.take(width_bits) + 1, bits.take(height_bits) + 1


def _skip_operating_points(bits: _Bits) -> None:
    delay_bits = 0
    if bits.take(1):  # timing
        bits.take(64)
        if bits.take(1):  # equal picture interval, as uvlc
            zeros = 0
            while not bits.take(1):
                zeros += 1
            bits.take(min(zeros, 32))
        if bits.take(1):  # decoder model
            delay_bits = bits.take(5) + 1
            bits.take(42)
    display_delay = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:  # level; those above have a tier
            bits.take(1)
        if delay_bits and bits.take(1):
            bits.take(2 * delay_bits + 1)
        if display_delay and bits.take(1):
            bits.take(4)

from __future__ import annotations

import pytest

from services.mesh.pictures import av1
from services.mesh.pictures.essence import Damaged, TooLarge

SIDES = "10011001" + f"{639:010b}{479:010b}"


def unit(kind: int, body: bytes, *, sized: bool = True, extended: bool = False) -> bytes:
    head = bytes([kind << 3 | extended << 2 | sized << 1]) + b"\0" * extended
    return head + (leb128(len(body)) if sized else b"") + body


def leb128(value: int) -> bytes:
    low = bytes([value & 0x7F | (0x80 if value > 0x7F else 0)])
    return low + (leb128(value >> 7) if value > 0x7F else b"")


def header(*fields: str) -> bytes:
    bits = "".join(fields)
    return int(bits.ljust((len(bits) + 7) // 8 * 8, "0"), 2).to_bytes((len(bits) + 7) // 8)


REDUCED = header("000", "1", "1", "00100", SIDES)
PLAIN = header("000", "0", "0", "0", "0", "00000", "0" * 12, "00100", SIDES)
# Timing with a picture interval of 5, a decoder model of 6-bit delays, display delays, two operating points,
# the first of which has a tier.
FULL = header(
    "00000",
    "1" + "0" * 64 + "1" + "00110" + "1" + "00101" + "0" * 42,
    "1" + "00001",
    "0" * 12 + "01000" + "1" + "1" + "0" * 13 + "1" + "0000",
    "0" * 12 + "00111" + "0" + "0",
    SIDES,
)


@pytest.mark.parametrize("body", [REDUCED, PLAIN, FULL])
@pytest.mark.parametrize(("sized", "extended"), [(True, False), (True, True), (False, False)])
def test_the_size_is_found_in_every_kind_of_header(body: bytes, sized: bool, extended: bool) -> None:
    """Of a still picture, of a film, with all that may stand before it; after other units."""
    stream = unit(2, b"") + unit(5, bytes(300)) + unit(1, body, sized=sized, extended=extended)
    assert list(av1.sizes(stream)) == [(640, 480)]


def test_every_header_counts() -> None:
    """A later one may declare more than the first."""
    larger = header("000", "1", "1", "00100", "1111", "1111", "1" * 32)
    assert list(av1.sizes(unit(1, REDUCED) + unit(1, larger))) == [(640, 480), (65536, 65536)]


@pytest.mark.parametrize(
    "stream", [unit(1, REDUCED)[:-1], unit(1, REDUCED[:3]), unit(1, FULL[:6]), b"\x0a" + b"\xff" * 9, b"\x0a"]
)
def test_what_is_cut_off_is_damaged(stream: bytes) -> None:
    """A unit that is longer than the stream, a header without its size, a length without an end."""
    with pytest.raises(Damaged):
        list(av1.sizes(stream))


def test_no_end_of_units_is_too_much() -> None:
    """A picture has few units."""
    with pytest.raises(TooLarge):
        list(av1.sizes(unit(2, b"") * 100_000))

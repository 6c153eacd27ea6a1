from __future__ import annotations

import struct

import pytest
from PIL import Image

from services.mesh.pictures import avif
from services.mesh.pictures.essence import Damaged, NotRead, TooLarge
from tests.embedder.drawings import encoded
from tests.mesh.pictures import hostile
from tests.mesh.pictures.hostile import box

STREAM = bytes.fromhex("0a06192667f77c00")  # one unit, a reduced sequence header of 640 x 480


def infe(number: int, kind: bytes, version: int = 2) -> bytes:
    return box(b"infe", bytes([version, 0, 0, 0]), struct.pack(">HH", number, 0), kind, b"\0")


def iinf(*entries: bytes) -> bytes:
    return box(b"iinf", bytes(4), struct.pack(">H", len(entries)), *entries)


def iloc(items: dict[int, list[tuple[int, int]]], *, method: int = 0, version: int = 1) -> bytes:
    """Items at offset and length; version 2 has longer numbers."""
    wide = ">I" if version == 2 else ">H"
    body = bytes([version, 0, 0, 0]) + b"\x44\x00" + struct.pack(wide, len(items))
    for number, extents in items.items():
        body += struct.pack(wide, number)
        body += struct.pack(">H", method) if version else b""
        body += struct.pack(">HH", 0, len(extents))
        body += b"".join(struct.pack(">II", *extent) for extent in extents)
    return box(b"iloc", body)


def file(*inner: bytes, rest: bytes = b"") -> bytes:
    return box(b"ftyp", b"avif", bytes(4), b"mif1") + box(b"meta", bytes(4), *inner) + rest


def in_idat(*extents: tuple[int, int]) -> bytes:
    """A file whose pixels lie beside its directory."""
    return file(iinf(infe(1, b"av01")), iloc({1: list(extents)}, method=1), box(b"idat", STREAM))


def sides(data: bytes) -> tuple[int, int]:
    essence = avif.essence(data)
    return essence.width, essence.height


def test_films_profiles_and_notes_are_hidden_from_the_decoder() -> None:
    """Only what makes the still picture keeps its name, and all stays where it was."""
    picture = Image.new("RGBA", (64, 48), (9, 9, 9, 9))
    whole = encoded(picture, "AVIF", exif=hostile.exif(6), xmp=b"<x/>")
    film = hostile.animation("AVIF")
    for data in (whole, film):
        essence = avif.essence(data)
        assert len(essence.data) == len(data)
        assert not any(kind in essence.data for kind in (b"moov", b"avis", b"infe\2\0\0\0\0\2\0\0Exif"))
    assert b"moov" in film
    assert b"avis" in film
    assert sides(whole) == (64, 48)


@pytest.mark.parametrize("declared", [10, 500])
def test_the_size_is_that_of_the_coded_picture(declared: int) -> None:
    """A container may declare another one; decoders allocate what the stream says."""
    assert sides(hostile.avif_that_lies(300, declared)) == (300, 300)


@pytest.mark.parametrize("extents", [[(0, 8)], [(0, 0)], [(0, 3), (3, 5)]])
def test_pixels_may_lie_in_the_directory_and_in_pieces(extents: list[tuple[int, int]]) -> None:
    """Of a known length, up to the end, or one piece after the other."""
    assert sides(in_idat(*extents)) == (640, 480)


@pytest.mark.parametrize("version", [0, 1, 2])
def test_every_version_of_the_directory_is_read(version: int) -> None:
    """They differ in how long their numbers are; boxes may have long lengths as well."""
    data = file(iinf(infe(1, b"av01")), iloc({1: [(9999, 8)]}, version=version))
    rest = struct.pack(">I4sQ", 1, b"mdat", 16 + len(STREAM)) + STREAM
    whole = (data + rest).replace(struct.pack(">I", 9999), struct.pack(">I", len(data) + 16))
    assert sides(whole) == (640, 480)


@pytest.mark.parametrize("kind", [b"grid", b"iovl"])
def test_pictures_made_of_pictures_are_not_read(kind: bytes) -> None:
    """What their size is only the composition tells."""
    with pytest.raises(NotRead):
        avif.essence(file(iinf(infe(1, b"av01"), infe(2, kind)), iloc({1: [(0, 8)]})))


@pytest.mark.parametrize(
    "data",
    [
        box(b"ftyp", b"avif", bytes(4)),
        file(),
        file(iinf(), iloc({})),
        file(iinf(infe(1, b"Exif")), iloc({1: [(0, 8)]})),
        file(iinf(infe(1, b"av01", version=0)), iloc({1: [(0, 8)]})),
        file(iinf(box(b"infe", b"\2\0\0\0\0\1")), iloc({1: [(0, 8)]})),
        file(iinf(box(b"infe", b"\2\0\0\0\0\1\0\0")), iloc({1: [(0, 8)]})),
        file(iinf(infe(1, b"av01")), iloc({1: [(0, 8)]}, method=2)),
        file(iinf(infe(1, b"av01")), iloc({1: [(0, 8)]}, method=1)),
        file(iinf(infe(1, b"av01")), iloc({1: [(0, 2**31)]})),
        file(iinf(infe(1, b"av01")), box(b"iloc", bytes(8), b"\0\1")),
        in_idat((0, 9)),
        in_idat((9, 0)),
        in_idat((0, 8), (0, 8)),
        encoded(Image.new("RGB", (8, 8)), "AVIF")[:200],
        box(b"ftyp", b"avif", bytes(4)) + struct.pack(">I4s", 4, b"meta"),
    ],
)
def test_what_does_not_hold_together_is_damaged(data: bytes) -> None:
    """No directory, no picture in it, no place for it, or more of it than there is."""
    with pytest.raises(Damaged):
        avif.essence(data)


@pytest.mark.parametrize(
    "data",
    [
        file(rest=box(b"free") * 2000),
        file(iinf(infe(1, b"av01")), iloc({number: [] for number in range(100)})),
        file(iinf(infe(1, b"av01")), iloc({1: [(0, 1)] * 1000})),
    ],
)
def test_more_parts_than_a_picture_has_are_too_many(data: bytes) -> None:
    """Boxes, items and pieces of one."""
    with pytest.raises(TooLarge):
        avif.essence(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (box(b"ftyp", b"avif", bytes(4)), True),
        (box(b"ftyp", b"mif1", bytes(4), b"mif1avif"), True),
        (box(b"ftyp", b"heic", bytes(4), b"mif1heic"), False),
        (b"", False),
    ],
)
def test_the_brands_tell(data: bytes, expected: bool) -> None:
    """An AVIF may be named by any of its brands; a HEIC is none."""
    assert avif.is_avif(data) is expected

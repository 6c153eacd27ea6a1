from __future__ import annotations

import pytest

from services.mesh.pictures import gif
from services.mesh.pictures.essence import Damaged, TooLarge
from tests.mesh.pictures import hostile


def test_everything_before_the_frame_but_its_control_is_left_out() -> None:
    """Comments and programs go, the last control block stays without what is to follow the frame."""
    notes = b"!\xfe\3abc\0" + b"!\xff\x0bNETSCAPE2.0\3\1\0\0\0"
    controls = b"!\xf9\4\1\0\0\2\0" + b"!\xf9\4\x0d\0\0\1\0"
    essence = gif.essence(hostile.gif(notes + controls))
    assert essence.data == hostile.gif(b"!\xf9\4\1\0\0\1\0")
    assert (essence.width, essence.height) == (2, 2)


def test_a_frame_may_reach_out_of_its_canvas() -> None:
    """The picture is as large as both together."""
    essence = gif.essence(hostile.gif(b"", (10, 20, 300, 400)))
    assert (essence.width, essence.height) == (310, 420)


@pytest.mark.parametrize(
    "data",
    [b"GIF89a", hostile.gif(b"")[:25], hostile.gif(b";"), hostile.gif(b"!\xfe\xff"), hostile.gif(b"!")[:20]],
)
def test_no_frame_is_damage(data: bytes) -> None:
    """It ends before one, or says that there is none."""
    with pytest.raises(Damaged):
        gif.essence(data)


@pytest.mark.parametrize("notes", [b"!\xfe" + b"\1a" * 70_000 + b"\0", b"!\xff\0" * 70_000])
def test_more_blocks_than_a_picture_needs_are_too_many(notes: bytes) -> None:
    """Full ones and empty ones."""
    with pytest.raises(TooLarge):
        gif.essence(hostile.gif(notes))

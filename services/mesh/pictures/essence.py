"""What a decoder gets to see of an encoded picture, and the ways in which there may be none."""

from __future__ import annotations

from dataclasses import dataclass

# Parts of a file that a walk looks at before it gives up. Photos have dozens; these take some milliseconds.
MAX_PARTS = 65_536


class Damaged(Exception):
    """The bytes begin as a picture of the format does, and do not go on as one."""


class NotRead(Exception):
    """A picture of a kind that this server does not read."""


class TooLarge(Exception):
    """The picture declares more than is decoded."""


@dataclass(frozen=True, slots=True)
class Essence:
    """What the first frame of a picture needs, and nothing else."""

    data: bytes
    """A file of the same format."""
    width: int
    """Pixels, the most that any header declares."""
    height: int
    """Pixels, the most that any header declares."""
    orientation: int = 1
    """How the pixels are to be turned: Exif's Orientation, 1 to 8."""
    decoder_bytes_per_pixel: int = 0
    """Memory that the decoder takes beside the picture it makes."""

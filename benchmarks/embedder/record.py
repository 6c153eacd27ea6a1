"""What an engine was given, and when: pictures are known by their colour, which is an id of 24 bits.

A line of a record is the time at which a batch came (`time.monotonic`, which all processes of a machine
share) and the ids of its pictures.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.embedder.photos import solid


@dataclass(frozen=True, slots=True)
class Batch:
    """The pictures that were computed together, and when."""

    at: float
    ids: tuple[int, ...]


class Record:
    """Writes a record. For any thread, and whoever reads it need not wait for the end."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, images: Sequence[npt.NDArray[np.uint8]]) -> None:
        """A batch of decoded pictures came just now."""
        ids = " ".join(str(id_of(image)) for image in images)
        line = f"{time.monotonic()!r} {ids}\n"
        # Unbuffered and at the end of the file, a line is one write, which no other thread comes between.
        with self._path.open("ab", buffering=0) as file:
            file.write(line.encode())


def picture(identity: int) -> bytes:
    """A picture that `id_of` knows again once it is decoded."""
    return solid((identity >> 16, identity >> 8 & 255, identity & 255))


def id_of(image: npt.NDArray[np.uint8]) -> int:
    """The id of a decoded picture, uint8 RGB [h, w, 3]."""
    red, green, blue = (int(value) for value in image[image.shape[0] // 2, image.shape[1] // 2])
    return red << 16 | green << 8 | blue


def batches(record: Path) -> Iterator[Batch]:
    """What a record holds."""
    for line in record.read_text(encoding="ascii").splitlines():
        at, *ids = line.split()
        yield Batch(float(at), tuple(int(word) for word in ids))

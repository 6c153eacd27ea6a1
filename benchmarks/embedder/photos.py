"""The photos that are sent, as the bytes of whole requests: the load generator shall cost next to nothing."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from vitrine.v1 import common_pb2, embedder_pb2

SPACE = "resnet50"
IMAGE_SIZE = 224
# Of its vectors.
DIM = 2048
# Small enough for decoding to cost nothing, as large as an icon.
TINY = 16

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data" / "fashion-products"
_JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True, slots=True)
class Photos:
    """Real photos of a catalogue as their JPEG bytes."""

    folder: Path
    jpegs: tuple[bytes, ...]

    @property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """All of them decoded: uint8 RGB [n, 224, 224, 3]."""
        return np.stack([np.asarray(_open(jpeg).resize((IMAGE_SIZE, IMAGE_SIZE))) for jpeg in self.jpegs])

    @property
    def mean_pixels(self) -> int:
        """Their mean width times height."""
        sizes = [Image.open(io.BytesIO(jpeg)).size for jpeg in self.jpegs]
        return round(sum(width * height for width, height in sizes) / len(sizes))

    @property
    def mean_bytes(self) -> int:
        """Their mean length."""
        return round(sum(len(jpeg) for jpeg in self.jpegs) / len(self.jpegs))


def load(catalog: Path | None, count: int) -> Photos:
    """`count` photos, or as many as there are, drawn anew but alike at every call.

    Of `catalog` or, where that is None, of a real catalogue beside the checkout, or else of the demo
    catalogue, which is fetched. Raises SystemExit for a folder without JPEGs, Unavailable where the demo
    cannot be fetched.
    """
    folder = catalog or (_BESIDE if _BESIDE.is_dir() else _demo())
    paths = sorted((folder / "images").glob("*.jp*g"))
    random.Random(7).shuffle(paths)
    jpegs = [data for path in paths[: 2 * count] if (data := path.read_bytes()).startswith(_JPEG)]
    if not jpegs:
        raise SystemExit(f"bench: no JPEG in {folder / 'images'}")
    return Photos(folder, tuple(jpegs[:count]))


def tiny(jpeg: bytes) -> bytes:
    """The photo as a BMP of a few pixels."""
    file = io.BytesIO()
    _open(jpeg).resize((TINY, TINY)).save(file, "BMP")
    return file.getvalue()


def solid(colour: tuple[int, int, int]) -> bytes:
    """A BMP of a few pixels of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (TINY, TINY), colour).save(file, "BMP")
    return file.getvalue()


def requests(images: Sequence[bytes], space: str = SPACE) -> list[bytes]:
    """A serialised EmbedImagesRequest for each image, for one space alone."""
    return [
        embedder_pb2.EmbedImagesRequest(
            images=[common_pb2.Image(content=image)], spaces=[space]
        ).SerializeToString()
        for image in images
    ]


def _open(jpeg: bytes) -> Image.Image:
    return Image.open(io.BytesIO(jpeg)).convert("RGB")


def _demo() -> Path:
    # Its command line's packages are of no use to those who name a folder.
    from vitrine.catalogs import demo  # noqa: PLC0415
    from vitrine.supervisor.layout import data_dir_default  # noqa: PLC0415

    return demo.fetch(data_dir_default() / "demo")

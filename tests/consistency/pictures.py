"""Pictures that are told apart exactly, and the vectors that the embedder of these tests makes of them."""

from __future__ import annotations

import functools
import hashlib
import io

import numpy as np
from PIL import Image

from services.mesh.vectors import Floats

# None that labels are inferred in: answers are whole without the prompts that the ranker would need.
DIMENSIONS = {"triplet": 16, "colour": 4}
DIGEST = "a1" * 32
OTHER_DIGEST = "b2" * 32


@functools.lru_cache(4096)
def picture(number: int) -> bytes:
    """A PNG file of one colour, which tells its number, 0 to 65,535."""
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (number >> 8, number & 255, 128)).save(out, "PNG")
    return out.getvalue()


def number_of(content: bytes) -> int:
    """The number of a picture."""
    with Image.open(io.BytesIO(content)) as image:
        red, green, _ = np.asarray(image.convert("RGB"))[0, 0].tolist()
    return int(red) << 8 | int(green)


@functools.lru_cache(4096)
def digest_of(number: int) -> str:
    """The hex SHA-256 of a picture's file."""
    return hashlib.sha256(picture(number)).hexdigest()


def vector_of(number: int, space: str, model_digest: str) -> Floats:
    """The unit vector of a picture, float32 [dimension], by one model of a space."""
    seed = hashlib.sha256(f"{number} {space} {model_digest}".encode()).digest()
    vector = np.random.default_rng(list(seed)).normal(size=DIMENSIONS[space]).astype(np.float32)
    unit: Floats = vector / np.linalg.norm(vector)
    return unit

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from services.embedder.models import minilm, resnet50
from services.trainer import material
from services.trainer.catalogues import Photo
from services.trainer.material import Material

COLOURS = ("Red", "Blue", "Green")
KINDS = ("Shirts", "Jeans", "Handbags")


@pytest.fixture
def photos() -> list[Photo]:
    """Ninety photos of ninety products: three kinds in three colours."""
    return [
        Photo(
            path=Path(f"{number}.jpg"),
            catalogue="drawn",
            group=f"drawn/{number}",
            title=f"{COLOURS[number % 3]} {KINDS[number // 3 % 3]} No {number}",
            kind=KINDS[number // 3 % 3],
            category=KINDS[number // 3 % 3],
            colour=COLOURS[number % 3],
            gender="Women",
        )
        for number in range(90)
    ]


@pytest.fixture
def drawn(photos: list[Photo]) -> Material:
    """The photos with features and captions that tell kind and colour apart, under noise."""
    random = np.random.default_rng(0)

    def vectors(names: list[str], dim: int) -> np.typing.NDArray[np.float16]:
        directions = {word: random.normal(size=dim) for word in (*COLOURS, *KINDS)}
        rows = [
            sum((directions[word] for word in directions if _stem(word) in name.lower()), np.zeros(dim))
            + 0.3 * random.normal(size=dim)
            for name in names
        ]
        return np.stack(rows).astype(np.float16)

    features = vectors([photo.title for photo in photos], resnet50.DIM)
    return material.gather(photos, features, vectors(material.distinct_captions(photos), minilm.DIM))


@pytest.fixture
def silent() -> Callable[[int], None]:
    return lambda done: None


def _stem(word: str) -> str:
    return word.lower().rstrip("s")

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from services.embedder.models import minilm, resnet50
from services.embedder.weights import Progress
from services.trainer import material
from services.trainer.catalogues import Photo
from services.trainer.material import Material

COLOURS = ("Red", "Blue", "Green")
TYPES = ("Shirts", "Jeans", "Handbags")
MASTERS = ("Apparel", "Apparel", "Accessories")
GENDERS = ("Women", "Men")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other in tiny layers make a busy machine many times slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def photos() -> list[Photo]:
    """Ninety photos of ninety products: three types in three colours."""
    return [
        Photo(
            path=Path(f"{number}.jpg"),
            member="",
            catalogue="drawn",
            product=str(number),
            group=str(number),
            title=f"{COLOURS[number % 3]} {TYPES[number // 3 % 3]} No {number}",
            type=TYPES[number // 3 % 3],
            category=TYPES[number // 3 % 3],
            master=MASTERS[number // 3 % 3],
            colour=COLOURS[number % 3],
            gender=GENDERS[number // 9 % 2],
        )
        for number in range(90)
    ]


@pytest.fixture
def drawn(photos: list[Photo]) -> Material:
    """The photos with features and captions that tell gender, type and colour apart, under noise."""
    return gathered(photos)


@pytest.fixture
def doubled(photos: list[Photo]) -> Material:
    """The photos once sharp and once as thumbnails of another catalogue, with the same product ids."""
    return gathered([*photos, *(replace(photo, catalogue="thumbnails") for photo in photos)])


@pytest.fixture
def silent() -> Progress:
    return lambda step: None


def gathered(photos: list[Photo]) -> Material:
    """Photos with drawn vectors: words that they have are directions that they lie in."""
    random = np.random.default_rng(0)

    def vectors(names: list[str], dim: int) -> np.typing.NDArray[np.float16]:
        words = (*COLOURS, *TYPES, *GENDERS)
        directions = {word: random.normal(size=dim) for word in words}
        rows = [
            sum((directions[word] for word in words if _stem(word) in name.lower().split()), np.zeros(dim))
            + 0.3 * random.normal(size=dim)
            for name in names
        ]
        return np.stack(rows).astype(np.float16)

    said = [f"{photo.title} {photo.gender}".replace("s ", " ") for photo in photos]
    texts = material.distinct_captions(photos)
    captions = vectors([text.replace("s ", " ").removesuffix("s") for text in texts], minilm.DIM)
    return material.gather(photos, vectors(said, resnet50.DIM), texts, captions)


def _stem(word: str) -> str:
    return word.lower().rstrip("s")

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from services.embedder.models import resnet50
from services.trainer import features
from services.trainer.catalogues import Photo


class MeanColour:
    """Stands in for the trunk and counts its passes."""

    def __init__(self) -> None:
        self.passes = 0

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        return pixels.float().mean(dim=(1, 2, 3))[:, None].expand(-1, resnet50.DIM)


class Lengths:
    """Stands in for the text encoder: a text's vector is its length."""

    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        return torch.tensor([[float(len(text))] * 384 for text in texts])


@pytest.fixture
def files(photos: list[Photo], tmp_path: Path) -> list[Photo]:
    """Twenty photos on disk, each a little lighter than the one before."""
    found = [replace(photo, path=tmp_path / photo.path) for photo in photos[:20]]
    for shade, photo in enumerate(found):
        Image.new("RGB", (8, 8), (shade * 10,) * 3).save(photo.path, quality=100)
    return found


def test_features_are_computed_once(files: list[Photo], tmp_path: Path) -> None:
    """The second time they come from the file, in the order of the photos."""
    trunk = MeanColour()
    done: list[int] = []
    first = features.of_photos(files, trunk, tmp_path / "cache" / "f.npz", done.append)
    passes = trunk.passes
    second = features.of_photos(files, trunk, tmp_path / "cache" / "f.npz", done.append)
    assert trunk.passes == passes
    assert sum(done) == 40
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first[:, 0], np.arange(20) * 10, atol=2)


def test_other_photos_are_computed_anew(files: list[Photo], tmp_path: Path) -> None:
    """A file that holds other photos is not believed."""
    trunk, path = MeanColour(), tmp_path / "f.npz"
    features.of_photos(files, trunk, path, lambda done: None)
    assert features.of_photos(files[::-1], trunk, path, lambda done: None)[0, 0] == pytest.approx(190, abs=2)


def test_captions_keep_their_order(tmp_path: Path) -> None:
    """However they are batched, each caption gets its own vector, and they are kept."""
    texts = ["x" * (number * 7 % 90 + 1) for number in range(200)]
    path = tmp_path / "c.npz"
    first = features.of_captions(texts, Lengths(), path, lambda done: None)
    assert first[:, 0].tolist() == [len(text) for text in texts]
    kept = features.of_captions(texts, Lengths(), path, lambda done: None)
    np.testing.assert_array_equal(kept, first)

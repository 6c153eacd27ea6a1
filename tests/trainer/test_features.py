from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from services.embedder import images
from services.embedder.models import colours
from services.embedder.models.resnet50 import IMAGE_SIZE
from services.embedder.weights import Progress, Step
from services.mesh.errors import InvalidArgument
from services.trainer import features
from services.trainer.catalogues import Photo
from tests.embedder.engines import MeanColourEngine


class Lengths:
    """Stands in for the text encoder: a text's vector is its length."""

    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        return torch.tensor([[float(len(text))] * 384 for text in texts])


@pytest.fixture
def files(photos: list[Photo], tmp_path: Path) -> list[Photo]:
    """Twenty photos on disk, each redder than the one before."""
    found = [replace(photo, path=tmp_path / photo.path) for photo in photos[:20]]
    for shade, photo in enumerate(found):
        Image.new("RGB", (8, 8), (shade * 12, 100, 100)).save(photo.path, quality=100)
    return found


@pytest.fixture(autouse=True)
def _short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "CHUNK_PHOTOS", 8)
    monkeypatch.setattr(features, "CHUNK_TEXTS", 90)


def test_features_are_computed_once(files: list[Photo], tmp_path: Path) -> None:
    """The second time they come from the cache, in the order of the photos, and no engine is made."""
    steps: list[Step] = []
    engine = MeanColourEngine()
    first = features.of_photos(files, "colour", "c0", lambda: engine, tmp_path / "cache", steps.append)
    assert sum(engine.batches) == 20
    assert [step.share for step in steps] == [0, 0.4, 0.8, 1]

    def none() -> MeanColourEngine:
        raise AssertionError

    second = features.of_photos(files, "colour", "c0", none, tmp_path / "cache", steps.append)
    np.testing.assert_array_equal(first, second)
    assert (np.diff(first[:, 0].astype(float)) > 0).all()


def test_a_killed_run_goes_on_with_its_chunk(files: list[Photo], tmp_path: Path, silent: Progress) -> None:
    """Only the chunks that are missing are computed."""
    whole = features.of_photos(files, "colour", "c0", MeanColourEngine, tmp_path / "cache", silent)
    directory = features.photos_directory(files, "c0", tmp_path / "cache")
    features.chunk_path(directory, 16).unlink()
    engine = MeanColourEngine()
    again = features.of_photos(files, "colour", "c0", lambda: engine, tmp_path / "cache", silent)
    assert sum(engine.batches) == 4
    np.testing.assert_array_equal(again, whole)


def test_colours_are_counted_once(
    files: list[Photo], tmp_path: Path, silent: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Histograms of length one in the order of the photos come from the cache, but for a lost chunk."""
    counted: list[int] = []
    original = colours.histograms

    def histograms(pixels: torch.Tensor) -> torch.Tensor:
        counted.append(len(pixels))
        return original(pixels)

    monkeypatch.setattr(colours, "histograms", histograms)
    first = features.of_colours(files, tmp_path, silent)
    assert (first.shape, sum(counted)) == ((20, colours.DIM), 20)
    assert first.dtype == np.float16
    np.testing.assert_allclose(np.linalg.norm(first.astype(np.float32), axis=1), 1, atol=1e-2)
    for row in (0, 13):
        pixels = np.array([images.decode(files[row].read(), IMAGE_SIZE)])
        own = original(torch.from_numpy(pixels)).numpy()[0]
        np.testing.assert_allclose(first[row], own, atol=1e-3)

    (directory,) = tmp_path.glob("drawn-*")
    features.chunk_path(directory, 8).unlink()
    counted.clear()
    np.testing.assert_array_equal(features.of_colours(files, tmp_path, silent), first)
    assert sum(counted) == 8


def test_the_cache_is_named_for_all_that_it_depends_on(files: list[Photo], tmp_path: Path) -> None:
    """Other photos, changed photos and another model have another folder."""
    known = {features.photos_directory(files, "c0", tmp_path)}
    known.add(features.photos_directory(files, "c1", tmp_path))
    known.add(features.photos_directory(files[::-1], "c0", tmp_path))
    files[3].path.write_bytes(files[3].read() + b"more")
    known.add(features.photos_directory(files, "c0", tmp_path))
    assert len(known) == 4


def test_a_photo_that_is_none_is_told(files: list[Photo], tmp_path: Path, silent: Progress) -> None:
    """Training data is curated: a damaged photo ends it."""
    files[5].path.write_bytes(b"no picture")
    with pytest.raises(InvalidArgument, match="not an image"):
        features.of_photos(files, "colour", "c0", MeanColourEngine, tmp_path / "cache", silent)


def test_captions_keep_their_order(tmp_path: Path, silent: Progress) -> None:
    """However they are batched, each caption gets its own vector, and they are kept."""
    texts = ["x" * (number * 7 % 90 + 1) for number in range(200)]
    first = features.of_captions(texts, "shop", "m", Lengths(), tmp_path, silent)
    assert first[:, 0].tolist() == [len(text) for text in texts]

    def none(texts: Sequence[str]) -> torch.Tensor:
        raise AssertionError(texts)

    np.testing.assert_array_equal(features.of_captions(texts, "shop", "m", none, tmp_path, silent), first)

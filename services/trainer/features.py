"""What frozen models say of photos and captions, computed once, since they never change.

A cache folder is named for everything that its rows depend on, and holds them in chunks: a killed run goes on
with the chunk it was at.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from services.embedder import images
from services.embedder.images import Pixels
from services.embedder.models import colours
from services.embedder.models.resnet50 import IMAGE_SIZE
from services.embedder.weights import Progress, Step
from services.trainer.catalogues import Photo

Half = npt.NDArray[np.float16]
Encode = Callable[[Sequence[str]], Tensor]

CHUNK_PHOTOS = 1024
CHUNK_TEXTS = 8192

_TEXT_BATCH = 64
_PHOTO_BATCH = 32
# Takes the place of a model's digest; another way to count colours has another number.
_COLOURS = "colours-1"


class ImageEngine(Protocol):
    """What is needed of the embedder's engine."""

    passes: int
    pass_items: int
    image_size: int

    def embed_images(
        self, images: Sequence[Pixels], names: Sequence[str]
    ) -> Mapping[str, npt.NDArray[np.float32]]:
        """As `Engine.embed_images`."""
        ...


def of_photos(
    photos: Sequence[Photo],
    space: str,
    digest: str,
    engine: Callable[[], ImageEngine],
    cache: Path,
    progress: Progress,
) -> Half:
    """L2-normalised vectors float16 [n, dim] of photos of one catalogue in the space of that model digest.

    The engine, which decodes and computes as when it serves, is made only if something is left to be done.
    Raises InvalidArgument for a photo that cannot be decoded: training data is curated.
    """

    def compute(start: int, stop: int) -> Half:
        return _embedded(photos[start:stop], space, engine())

    directory = photos_directory(photos, digest, cache)
    catalogue = photos[0].catalogue
    return _chunked(directory, f"{space} of {catalogue}", len(photos), CHUNK_PHOTOS, compute, progress)


def of_colours(photos: Sequence[Photo], cache: Path, progress: Progress) -> Half:
    """Histograms float16 [n, colours.DIM] of photos of one catalogue. Raises as `of_photos`."""

    def compute(start: int, stop: int) -> Half:
        return _counted(photos[start:stop])

    directory = photos_directory(photos, _COLOURS, cache)
    return _chunked(
        directory, f"colours of {photos[0].catalogue}", len(photos), CHUNK_PHOTOS, compute, progress
    )


def of_captions(
    texts: Sequence[str], name: str, digest: str, encode: Encode, cache: Path, progress: Progress
) -> Half:
    """Sentence vectors float16 [n, 384] of the texts of the catalogue `name`, by the model of that digest."""

    def compute(start: int, stop: int) -> Half:
        return _encoded(texts[start:stop], encode)

    directory = cache / f"{name}-{_key([digest, *texts])}"
    return _chunked(directory, f"captions of {name}", len(texts), CHUNK_TEXTS, compute, progress)


def photos_directory(photos: Sequence[Photo], digest: str, cache: Path) -> Path:
    """Where the vectors of these photos by the model of that digest lie: by their names and sizes."""
    facts = (f"{photo.name} {photo.size_bytes}" for photo in photos)
    return cache / f"{photos[0].catalogue}-{_key([digest, *facts])}"


def chunk_path(directory: Path, start: int) -> Path:
    """The file of the rows from `start` on."""
    return directory / f"{start:08}.npy"


def _key(facts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _chunked(
    directory: Path,
    name: str,
    count: int,
    size: int,
    compute: Callable[[int, int], Half],
    progress: Progress,
) -> Half:
    directory.mkdir(parents=True, exist_ok=True)
    chunks = []
    for start in range(0, count, size):
        path, stop = chunk_path(directory, start), min(start + size, count)
        if not path.is_file():
            progress(Step("features", f"{name}: {start:,} of {count:,}", start / count))
            fresh = path.with_suffix(".fresh.npy")
            np.save(fresh, compute(start, stop))
            fresh.replace(path)
        chunks.append(np.load(path))
    progress(Step("features", f"{name}: all {count:,}", 1.0))
    return np.concatenate(chunks)


def _embedded(photos: Sequence[Photo], space: str, engine: ImageEngine) -> Half:
    batches = [
        photos[start : start + engine.pass_items] for start in range(0, len(photos), engine.pass_items)
    ]

    def decode(batch: Sequence[Photo]) -> list[Pixels]:
        return [images.decode(photo.read(), engine.image_size) for photo in batch]

    def embed(pixels: Future[list[Pixels]]) -> npt.NDArray[np.float32]:
        return engine.embed_images(pixels.result(), [space])[space]

    # Upcoming batches are decoded while the model works on these.
    with ThreadPoolExecutor(os.cpu_count()) as decoders, ThreadPoolExecutor(engine.passes) as passes:
        decoded = [decoders.submit(decode, batch) for batch in batches]
        return np.concatenate(list(passes.map(embed, decoded))).astype(np.float16)


def _counted(photos: Sequence[Photo]) -> Half:
    def count(start: int) -> npt.NDArray[np.float32]:
        batch = photos[start : start + _PHOTO_BATCH]
        pixels = np.stack([images.decode(photo.read(), IMAGE_SIZE) for photo in batch])
        return colours.histograms(torch.from_numpy(pixels)).numpy()

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return np.concatenate(list(threads.map(count, range(0, len(photos), _PHOTO_BATCH)))).astype(
            np.float16
        )


def _encoded(texts: Sequence[str], encode: Encode) -> Half:
    # Texts of like length share a batch, so that little of it is padding.
    order = np.argsort([len(text) for text in texts], kind="stable")
    parts = [
        encode([texts[row] for row in order[start : start + _TEXT_BATCH]]).cpu().numpy()
        for start in range(0, len(order), _TEXT_BATCH)
    ]
    whole = np.concatenate(parts).astype(np.float16)
    vectors = np.empty_like(whole)
    vectors[order] = whole
    return vectors

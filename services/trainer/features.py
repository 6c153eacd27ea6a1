"""What the frozen towers say of photos and captions, computed once, since towers never change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from services.embedder import images
from services.embedder.models import minilm, resnet50
from services.trainer.catalogues import Photo

Half = npt.NDArray[np.float16]
Trunk = Callable[[Tensor], Tensor]
Encode = Callable[[Sequence[str]], Tensor]
Advance = Callable[[int], None]

_BATCH = 16
_TEXT_BATCH = 64


def of_photos(photos: Sequence[Photo], trunk: Trunk, path: Path, advance: Advance) -> Half:
    """Pooled trunk features float16 [n, 2048] of `photos`, from the file at `path` where it holds them.

    `advance` is called with the number of photos done since the last call. Raises InvalidArgument for a photo
    that cannot be decoded: training data is curated.
    """
    names = [f"{photo.catalogue}/{photo.path.name}" for photo in photos]
    known = _stored(path, names)
    if known is not None:
        advance(len(photos))
        return known
    features = np.empty((len(photos), resnet50.DIM), dtype=np.float16)
    with ThreadPoolExecutor(1) as decoder:
        batches = [photos[start : start + _BATCH] for start in range(0, len(photos), _BATCH)]
        # The next batch is decoded while the trunk works on this one.
        upcoming = decoder.submit(_decode, batches[0])
        for index, batch in enumerate(batches):
            pixels = upcoming.result()
            if index + 1 < len(batches):
                upcoming = decoder.submit(_decode, batches[index + 1])
            with torch.inference_mode():
                features[index * _BATCH : index * _BATCH + len(batch)] = trunk(
                    torch.from_numpy(pixels)
                ).numpy()
            advance(len(batch))
    _store(path, names, features)
    return features


def of_captions(texts: Sequence[str], encode: Encode, path: Path, advance: Advance) -> Half:
    """Sentence vectors float16 [n, 384] of `texts`, from the file at `path` where it holds these texts."""
    known = _stored(path, texts)
    if known is not None:
        advance(len(texts))
        return known
    vectors = np.empty((len(texts), minilm.DIM), dtype=np.float16)
    # Texts of like length share a batch, so that little of it is padding.
    order = np.argsort([len(text) for text in texts])
    for start in range(0, len(order), _TEXT_BATCH):
        rows = order[start : start + _TEXT_BATCH]
        vectors[rows] = encode([texts[row] for row in rows]).numpy()
        advance(len(rows))
    _store(path, texts, vectors)
    return vectors


def _stored(path: Path, names: Sequence[str]) -> Half | None:
    if not path.is_file():
        return None
    with np.load(path) as file:
        if not np.array_equal(file["names"], np.array(names)):
            return None
        return np.asarray(file["features"], dtype=np.float16)


def _store(path: Path, names: Sequence[str], features: Half) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, names=np.array(names), features=features)


def _decode(photos: Sequence[Photo]) -> npt.NDArray[np.uint8]:
    return np.stack([images.decode(photo.path.read_bytes(), resnet50.IMAGE_SIZE) for photo in photos])

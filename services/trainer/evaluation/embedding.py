"""The vectors of photos and titles: embedded by the embedder's own engine once, found again afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from services.embedder import towers
from services.embedder.engine import Engine
from services.embedder.images import Pixels, decode
from services.embedder.towers import Space
from services.mesh.errors import FailedPrecondition, InvalidArgument
from services.trainer.evaluation import pictures
from services.trainer.evaluation.kept import Array, Kept
from services.trainer.seen import Digests, digest_of

Vectors = npt.NDArray[np.float32]
Advance = Callable[[int], None]

# Photos that a thread decodes and embeds before it tells.
_CHUNK = 64
# Photos that are lost at most when a run is interrupted.
_KEPT_AT_ONCE = 1024
_TEXTS_AT_ONCE = 512
_READERS = 4

# Raised when the same photo would give another thumbnail or plainness, or when more can be read.
_THUMBNAILS, _PLAINNESS, _DAMAGED = "thumbnails-1", "plainness-1", "damaged-1"


class Embedder(Protocol):
    """What is needed of the embedder's engine."""

    image_size: int
    passes: int

    def embed_images(self, images: Sequence[Pixels], names: Sequence[str] = ()) -> dict[str, Vectors]:
        """As `Engine.embed_images`."""
        ...

    def embed_texts(self, texts: Sequence[str], names: Sequence[str] = ()) -> dict[str, Vectors]:
        """As `Engine.embed_texts`."""
        ...


@dataclass
class Models:
    """The spaces that can be used, and the engine that makes their vectors, loaded when first wanted."""

    spaces: tuple[Space, ...]
    load: Callable[[], Embedder]

    @classmethod
    def of(cls, models_dir: Path) -> Models:
        """The default models of a directory; raises FailedPrecondition where no space is available."""
        found = towers.survey(models_dir)
        spaces = tuple(space for space in found if space.default and not space.unavailable_reason)
        if not spaces:
            raise FailedPrecondition(found[0].unavailable_reason, reason=towers.WEIGHTS_MISSING)
        return cls(spaces, lambda: Engine(models_dir))

    @property
    def text_spaces(self) -> tuple[Space, ...]:
        """Those that take texts."""
        return tuple(space for space in self.spaces if space.accepts_text)

    @cached_property
    def engine(self) -> Embedder:
        """The engine."""
        return self.load()


@dataclass(frozen=True, slots=True)
class Embedded:
    """What photos look like.

    `vectors` are float32 [photos, dim] by space, `thumbnails` uint8 [photos, 32, 24, 3] and `plainness`
    float32 [photos] as `services.trainer.evaluation.pictures` has them. `readable` tells of every photo that
    was given whether it is one of them, bool [given].
    """

    vectors: Mapping[str, Vectors]
    thumbnails: pictures.Thumbnails
    plainness: Vectors
    readable: npt.NDArray[np.bool_]


def digests(photos: Sequence[Path]) -> Digests:
    """What photos are known by, uint64 [n]; see `services.trainer.seen.digest_of`."""
    with ThreadPoolExecutor(_READERS) as pool:
        return np.fromiter(
            pool.map(lambda photo: digest_of(photo.read_bytes()), photos), np.uint64, len(photos)
        )


def embed_photos(
    photos: Sequence[Path], keys: Digests, models: Models, cache: Path, advance: Advance
) -> Embedded:
    """What `photos` look like in all spaces; `keys` are their digests.

    What is new is kept in `cache` beside what was kept there for other catalogues. `advance` is called with
    the number of photos done since the last call. Photos that cannot be read are left out.
    """
    stores = {space.name: Kept(cache / f"{space.name}-{space.digest[:16]}") for space in models.spaces}
    stores |= {name: Kept(cache / name) for name in (_THUMBNAILS, _PLAINNESS)}
    damaged = Kept(cache / _DAMAGED)
    lacking = np.any([store.lacks(keys) for store in stores.values()], axis=0)
    places = _first_of_each(keys, lacking & damaged.lacks(keys))
    lacked = [space.name for space in models.spaces if stores[space.name].lacks(keys[places]).any()]
    advance(len(photos) - len(places))
    for start in range(0, len(places), _KEPT_AT_ONCE):
        part = places[start : start + _KEPT_AT_ONCE]
        good, found = _embedded([photos[place] for place in part], lacked, models, advance)
        if not good.all():
            damaged.add(keys[part[~good]], good[~good])
        for name, values in found.items():
            fresh = stores[name].lacks(keys[part[good]])
            if fresh.any():
                stores[name].add(keys[part[good]][fresh], values[fresh])
    readable = damaged.lacks(keys)
    if not readable.any():
        raise InvalidArgument("folder", "none of its photos can be read")
    taken = {name: store.take(keys[readable]) for name, store in stores.items()}
    thumbnails, plainness = taken.pop(_THUMBNAILS), taken.pop(_PLAINNESS)
    return Embedded(taken, thumbnails, plainness, readable)


def embed_texts(texts: Sequence[str], models: Models, cache: Path, advance: Advance) -> dict[str, Vectors]:
    """Vectors of texts, n >= 1, float32 [n, dim], by the spaces that take text; kept as photos' are.

    `advance` is called with the number of texts done since the last call, for each space anew.
    """
    keys = np.array([digest_of(text.encode()) for text in texts], dtype=np.uint64)
    vectors = {}
    for space in models.text_spaces:
        store = Kept(cache / f"{space.name}-{space.digest[:16]}-texts")
        lacking = _first_of_each(keys, store.lacks(keys)).tolist()
        # Texts of like length share a batch, so that little of it is padding.
        lacking.sort(key=lambda place: len(texts[place]))
        advance(len(texts) - len(lacking))
        for start in range(0, len(lacking), _TEXTS_AT_ONCE):
            part = lacking[start : start + _TEXTS_AT_ONCE]
            made = models.engine.embed_texts([texts[place] for place in part], [space.name])
            store.add(keys[part], made[space.name])
            advance(len(part))
        vectors[space.name] = store.take(keys)
    return vectors


def _first_of_each(keys: Digests, wanted: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """The places of the wanted keys, each key once: copies of one file are embedded once."""
    places = np.flatnonzero(wanted)
    return np.sort(places[np.unique(keys[places], return_index=True)[1]])


def _embedded(
    photos: Sequence[Path], names: Sequence[str], models: Models, advance: Advance
) -> tuple[npt.NDArray[np.bool_], dict[str, Array]]:
    """Which photos can be read, bool [n], and of those what belongs into the stores of some spaces."""
    engine = models.engine

    def work(chunk: Sequence[Path]) -> tuple[list[bool], dict[str, Array]]:
        decoded = [_decoded(photo, engine.image_size) for photo in chunk]
        pixels = [each for each in decoded if each is not None]
        found: dict[str, Array] = {}
        if pixels:
            found |= engine.embed_images(pixels, names) if names else {}
            found[_THUMBNAILS] = np.stack([pictures.thumbnail(each) for each in pixels])
            found[_PLAINNESS] = np.array([pictures.plainness(each) for each in pixels], dtype=np.float32)
        return [each is not None for each in decoded], found

    chunks = [photos[start : start + _CHUNK] for start in range(0, len(photos), _CHUNK)]
    good: list[bool] = []
    parts: list[dict[str, Array]] = []
    # The engine is at its fastest with as many passes at once as it says.
    with ThreadPoolExecutor(engine.passes) as pool:
        for flags, found in pool.map(work, chunks):
            good += flags
            parts += [found] if found else []
            advance(len(flags))
    together = {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}
    return np.array(good), together


def _decoded(photo: Path, size: int) -> Pixels | None:
    try:
        return decode(photo.read_bytes(), size)
    except InvalidArgument:
        return None

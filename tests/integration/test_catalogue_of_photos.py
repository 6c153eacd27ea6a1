from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest

from services.embedder import images, weights
from services.embedder.engine import Engine
from services.mesh.models_dir import models_dir_default
from services.vectorsearch.changes import Change, Deleted, Embedding, Photo, Written
from services.vectorsearch.columns import Facts
from services.vectorsearch.indexes.kinds import EXACT_DEFAULT
from services.vectorsearch.kernels import Floats
from services.vectorsearch.lock import SharedLock
from services.vectorsearch.rows import CatalogRows
from services.vectorsearch.search import Found, Query, SpaceQuery, search
from services.vectorsearch.shard import Shard
from services.vectorsearch.views import view_of

PHOTOS = 55_000
# Photos that are embedded; the others are made of these.
SEEDS = 240
SPACE = "triplet"
DIMENSION = 128
# The length of the noise beside that of a vector of 1: a cosine of 0.96, as of photos of similar products.
NOISE = 0.3
FRAME = 64
# A product that was deleted is written again so many frames later.
FRAMES_AWAY = 4
LIMIT = 10
SEARCHERS = 2
# Fewer rows take up more than they need, as the packs of a segment that is filling up do.
MEASURED_ROWS = 8_192


class CountingLock(SharedLock):
    """Counts how often it was held for a write, and how often at most while one reader waited."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0
        self.reads = 0
        self.most_writes_waited = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        with ExitStack() as held:
            # The reader is in the queue before anyone can begin another write.
            with self._turn:
                before = self.writes
                held.enter_context(super().shared())
                self.reads += 1
                self.most_writes_waited = max(self.most_writes_waited, self.writes - before)
            yield

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        with super().exclusive():
            self.writes += 1
            yield


def unit(vectors: Floats) -> Floats:
    lengths: Floats = np.linalg.norm(vectors, axis=1, keepdims=True)
    normalised: Floats = vectors / lengths
    return normalised


def embedded(photos: Sequence[Path]) -> Floats:
    """The vectors of photos, float32 [n, DIMENSION]."""
    weights.pull(weights.MODELS, models_dir_default(), lambda _step: None)
    engine = Engine(models_dir_default())
    return engine.embed_images(
        [images.decode(photo.read_bytes(), engine.image_size) for photo in photos], [SPACE]
    )[SPACE]


@pytest.fixture(scope="module")
def vectors(shared_data: Path | None) -> Floats:
    """As those of a large catalogue of photos, float32 [PHOTOS, DIMENSION]: of real ones where there are."""
    random = np.random.default_rng(4)
    if shared_data is None:
        seeds = unit(random.standard_normal((SEEDS, DIMENSION), dtype=np.float32))
    else:
        photos = sorted((shared_data / "fashion-products" / "images").iterdir())
        seeds = embedded(photos[:: len(photos) // SEEDS][:SEEDS])
    noise = random.standard_normal((PHOTOS, DIMENSION), dtype=np.float32)
    made = seeds[random.integers(0, len(seeds), PHOTOS)] + noise * np.float32(NOISE / np.sqrt(DIMENSION))
    return unit(made)


def product_id(number: int) -> str:
    return f"p{number:05d}"


def written(number: int, vector: Floats, revision: int) -> Written:
    photo = Photo("front", {SPACE: Embedding("model", vector)})
    return Written("shop", product_id(number), revision, "g1", (photo,), Facts())


def queries(vectors: Floats, count: int, seed: int) -> Floats:
    """Photos that are not held but like some that are, float32 [count, DIMENSION]."""
    random = np.random.default_rng(seed)
    noise = random.standard_normal((count, DIMENSION), dtype=np.float32)
    near = vectors[random.integers(0, len(vectors), count)]
    return unit(near + noise * np.float32(NOISE / np.sqrt(DIMENSION)))


def about(vector: Floats) -> Query:
    return Query([SpaceQuery(SPACE, vector, 1.0, 0.4)], LIMIT)


def frames(numbers: Sequence[int]) -> list[Sequence[int]]:
    return [numbers[start : start + FRAME] for start in range(0, len(numbers), FRAME)]


@dataclass
class Searching:
    """Searches that go on until they are told to stop, and what was wrong with any."""

    shard: Shard
    asked: Floats
    vectors: Floats
    stop: threading.Event = field(default_factory=threading.Event)
    searches: int = 0
    wrong: list[str] = field(default_factory=list)
    # Numbers of products that were written so far at some time; what was never written must not be found.
    written: int = 0

    def run(self) -> None:
        number = 0
        while not self.stop.is_set() or number == 0:
            vector = self.asked[number % len(self.asked)]
            number += 1
            with self.shard.reading():
                rows = self.shard.rows("shop", "g1") or CatalogRows()
                view = view_of(rows, [SPACE])
                held, alive = len(rows.products), rows.searchable.copy()
                end = self.written
            (found,) = search(view, [about(vector)])
            self.searches += 1
            if found.rows_passed != held or not alive[found.slots].all():
                self.wrong.append(f"{found.product_ids} of {found.rows_passed}, where {held} are alive")
            self.check(found, vector, min(LIMIT, held), end)

    def check(self, found: Found, vector: Floats, expected: int, end: int) -> None:
        numbers = [int(each[1:]) for each in found.product_ids]
        if len(set(numbers)) != len(numbers):
            self.wrong.append(f"twice: {numbers}")
        if len(numbers) != expected:
            self.wrong.append(f"{len(numbers)} products, not {expected}")
        if any(number >= end for number in numbers):
            self.wrong.append(f"of {numbers} some are not among the first {end}")
        scores = self.vectors[numbers].astype(np.float64) @ vector.astype(np.float64)
        if np.abs(scores - found.cosines[0]).max(initial=0) > 2e-6 or (np.diff(scores) > 2e-6).any():
            self.wrong.append(f"scores {found.cosines} of {scores}")


class Writing:
    """Applies changes as they come from a feed, and notes the most memory that was taken for the rows."""

    def __init__(self, shard: Shard, searching: Searching) -> None:
        self._shard = shard
        self._searching = searching
        self.revision = 0
        self.most_memory = 0.0

    def insert(self, vectors: Floats) -> None:
        for frame in frames(range(len(vectors))):
            # Before it is so, since a search may see it as soon as it is.
            self._searching.written = frame[-1] + 1
            self.apply([written(number, vectors[number], self.next()) for number in frame])

    def replace(self, vectors: Floats, numbers: Sequence[int]) -> None:
        """Delete products, and write them again a while later."""
        every = frames(numbers)
        later = [numbers[:0]] * FRAMES_AWAY + every
        for gone, back in zip_longest(every, later, fillvalue=numbers[:0]):
            self.apply([Deleted("shop", product_id(number), self.next()) for number in gone])
            self.apply([written(number, vectors[number], self.next()) for number in back])

    def next(self) -> int:
        self.revision += 1
        return self.revision

    def apply(self, changes: Sequence[Change]) -> None:
        assert not self._shard.apply(changes, revision=self.revision)
        (size,) = self._shard.sizes()
        if size.rows >= MEASURED_ROWS:
            self.most_memory = max(self.most_memory, size.memory_bytes / size.live_bytes)


def test_a_catalogue_of_photos_is_exact_whatever_went_on_while_it_was_searched(vectors: Floats) -> None:
    """55,000 photos in, a third deleted and written again while others search: no answer is ever wrong.

    In the end the ten best are those of float64, and memory stayed within 2.2 times the vectors. A search
    waited for hardly more than the one write that was under way, and a write is of a few changes.
    """
    lock = CountingLock()
    shard = Shard(precision_of=lambda _space: EXACT_DEFAULT)
    shard._lock = lock
    searching = Searching(shard, queries(vectors, 500, 1), vectors)
    writing = Writing(shard, searching)
    again = np.random.default_rng(2).permutation(PHOTOS)[: PHOTOS // 3].tolist()

    def write() -> None:
        try:
            writing.insert(vectors)
            writing.replace(vectors, again)
        finally:
            searching.stop.set()

    threads = [threading.Thread(target=searching.run) for _ in range(SEARCHERS)]
    threads.append(threading.Thread(target=write))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not searching.wrong
    assert searching.searches >= 100
    assert writing.revision == PHOTOS + 2 * len(again)
    (size,) = shard.sizes()
    assert (size.products, size.rows) == (PHOTOS, PHOTOS)
    assert writing.most_memory <= 2.2
    # A write is of sixteen changes at most; what compaction moves comes on top.
    assert lock.writes >= writing.revision / 16
    assert lock.most_writes_waited <= 2

    asked = queries(vectors, 50, 3)
    with shard.reading():
        view = view_of(shard.rows("shop", "g1") or CatalogRows(), [SPACE])
    for vector, found in zip(asked, search(view, [about(each) for each in asked]), strict=True):
        scores = vectors.astype(np.float64) @ vector.astype(np.float64)
        best = np.sort(scores)[::-1][:LIMIT]
        numbers = [int(each[1:]) for each in found.product_ids]
        assert len(set(numbers)) == LIMIT
        assert np.abs(scores[numbers] - best).max() <= 2e-6
        assert set(np.flatnonzero(scores > best[-1] + 2e-6).tolist()) <= set(numbers)

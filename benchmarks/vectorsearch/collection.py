"""What is searched and with what: files of vectors, which every process of the benchmark maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.vectorsearch.kept import Kept

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

DIMENSIONS = {"resnet50": 2048, "clip": 512, "triplet": 128}
# Shares of the rows that the filters let pass.
SELECTIVITIES = (0.0001, 0.01, 0.1, 0.5, 0.99)

# Length of what is added to a photo's vector where photos must be repeated: cosine about 0.98 with the first.
_REPEAT_NOISE = 0.2
# Length of what separates vectors that are made up from the middle of their cluster: cosine about 0.6 with
# each other.
_CLUSTER_NOISE = 0.8
_CLUSTERS = 256
_AT_ONCE = 8192


@dataclass(frozen=True, slots=True)
class Collection:
    """Rows and queries in some spaces, of one order in all of them. `source` says in words what they are."""

    folder: Path
    rows: int
    spaces: tuple[str, ...]
    queries: int
    source: str

    def matrix(self, space: str) -> Floats:
        """The rows in a space, mapped and read-only: L2-normalised, float32 [rows, dim]."""
        mapped: Floats = np.load(self.folder / f"rows-{space}.npy", mmap_mode="r")
        return mapped

    def asked(self, space: str) -> Floats:
        """The queries in a space: L2-normalised, float32 [queries, dim]."""
        loaded: Floats = np.load(self.folder / f"queries-{space}.npy")
        return loaded

    def passing(self, selectivity: float) -> Mask:
        """Which rows a filter lets pass, bool [rows]: that share of them, and one at least."""
        ranks = np.random.default_rng(7).permutation(self.rows)
        return ranks < max(1, round(selectivity * self.rows))


def make(folder: Path, kept: Kept | None, *, rows: int, spaces: Sequence[str], queries: int) -> Collection:
    """Write a collection into `folder`, which is made.

    Of photos where there are some: a part of them asks, the others are searched, and are repeated with noise
    where there are too few. Else of vectors that are made up, in clusters of unequal size.
    """
    folder.mkdir()
    queries = queries if kept is None else max(1, min(queries, len(kept) // 4))
    for number, space in enumerate(spaces):
        chance = np.random.default_rng([7, number])
        dim = DIMENSIONS[space]
        target = np.lib.format.open_memmap(
            folder / f"rows-{space}.npy", mode="w+", dtype=np.float32, shape=(rows, dim)
        )
        if kept is None:
            centres = _unit(chance.standard_normal((_CLUSTERS, dim), dtype=np.float32))
            asked = _clustered(chance, centres, _members(queries, seed=1))
            parts = (_clustered(chance, centres, chunk) for chunk in _chunks(_members(rows, seed=2)))
        else:
            vectors = kept.vectors(space)
            order = np.random.default_rng(7).permutation(len(vectors))
            asked, base = vectors[order[:queries]], order[queries:]
            parts = (_repeated(chance, vectors, base, places) for places in _chunks(np.arange(rows)))
        np.save(folder / f"queries-{space}.npy", asked)
        start = 0
        for part in parts:
            target[start : start + len(part)] = part
            start += len(part)
        target.flush()
    return Collection(folder, rows, tuple(spaces), queries, _source(kept, rows, queries))


def _source(kept: Kept | None, rows: int, queries: int) -> str:
    if kept is None:
        return f"made up: random unit vectors in {_CLUSTERS} clusters"
    photos = len(kept) - queries
    if rows <= photos:
        return f"{rows} real photos; {queries} others ask"
    return (
        f"{photos} real photos, repeated to {rows} with Gaussian noise of length {_REPEAT_NOISE} added and "
        f"renormalised; {queries} others ask"
    )


def _members(count: int, *, seed: int) -> npt.NDArray[np.int64]:
    """The cluster of each vector: the first is the largest, and all spaces agree."""
    shares = 1 / np.arange(1, _CLUSTERS + 1)
    return np.random.default_rng([7, seed]).choice(_CLUSTERS, size=count, p=shares / shares.sum())


def _clustered(chance: np.random.Generator, centres: Floats, members: npt.NDArray[np.int64]) -> Floats:
    return _unit(centres[members] + _noise(chance, (len(members), centres.shape[1]), _CLUSTER_NOISE))


def _repeated(
    chance: np.random.Generator, vectors: Floats, base: npt.NDArray[np.int64], places: npt.NDArray[np.int64]
) -> Floats:
    part = vectors[base[places % len(base)]]
    again = places >= len(base)
    part[again] = _unit(part[again] + _noise(chance, part[again].shape, _REPEAT_NOISE))
    return part


def _noise(chance: np.random.Generator, shape: tuple[int, ...], length: float) -> Floats:
    noise: Floats = chance.standard_normal(shape, dtype=np.float32)
    return noise * np.float32(length / np.sqrt(shape[1]))


def _unit(vectors: Floats) -> Floats:
    unit: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def _chunks(values: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]

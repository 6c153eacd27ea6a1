"""Rows for approximate indexes to be built over, and an exact search of them."""

from __future__ import annotations

import numpy as np

from services.vectorsearch.columns import Mask
from services.vectorsearch.indexes.source import Source, Stretch
from services.vectorsearch.kernels import Floats, Indices

SEGMENT = 2048
DIMENSION = 48


def vectors(rows: int, *, seed: int = 0) -> Floats:
    """Unit vectors in clusters that run into each other, as photos of products do."""
    random = np.random.default_rng(seed)
    spread = np.arange(1, DIMENSION + 1, dtype=np.float32) ** -0.6
    centres = np.random.default_rng(0).standard_normal((40, DIMENSION), dtype=np.float32)
    noise = random.standard_normal((rows, DIMENSION), dtype=np.float32)
    made = (centres[random.integers(0, len(centres), rows)] + noise) * spread
    unit: Floats = made / np.linalg.norm(made, axis=1, keepdims=True)
    return unit


def source(rows: int, *, first_row: int = 0, alive: float = 0.9, seed: int = 0) -> Source:
    """Segments of which a share of the rows is alive, the first of them whole; numbers leave gaps between."""
    random = np.random.default_rng(seed)
    stretches = []
    for number, start in enumerate(range(0, rows, SEGMENT)):
        size = min(SEGMENT, rows - start)
        matrix = np.zeros((SEGMENT, DIMENSION), dtype=np.float32)
        matrix[:size] = vectors(size, seed=seed + number)
        places = np.flatnonzero(random.random(size) < (alive if number else 1.0))
        stretches.append(Stretch(first_row + 2 * start, places, matrix))
    return Source(tuple(stretches), first_row + 2 * rows)


def numbers(of: Source) -> Indices:
    """The number of each row by position."""
    return np.concatenate([stretch.first_row + stretch.places for stretch in of.stretches])


def everything(of: Source) -> Floats:
    """The vector of each row by position."""
    return np.concatenate([stretch.matrix[stretch.places] for stretch in of.stretches])


def nearest(of: Source, queries: Floats, count: int, passing: Mask | None = None) -> Indices:
    """The numbers of the best rows, int64 [q, count], exactly; `passing` bool [positions]."""
    scores = queries @ everything(of).T
    if passing is not None:
        scores[:, ~passing] = -np.inf
    return numbers(of)[np.argsort(-scores, axis=1)[:, :count]]


def recall(wanted: Indices, found: Indices) -> float:
    """The share of the wanted rows among those found."""
    return float(np.mean([np.isin(best, its).mean() for best, its in zip(wanted, found, strict=True)]))

"""The products nearest to queries, by brute force: what an index is measured against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from services.trainer.evaluation.catalogue import Rows
from services.trainer.evaluation.embedding import Vectors

Order = npt.NDArray[np.int32]
"""Products by rank, [queries, depth], -1 behind the last."""

# Scores are compared in millionths, as shards compare them.
_SCALE = 1e6


def cosines(queries: Mapping[str, Vectors], items: Mapping[str, Vectors]) -> dict[str, Vectors]:
    """Of unit vectors [q, dim] and [n, dim] of the same spaces: float32 [q, n] by space."""
    return {space: vectors @ items[space].T for space, vectors in queries.items()}


def best_photos(scores: Vectors, first_photos: Rows) -> tuple[Vectors, Rows]:
    """Each product's best score, float32 [q, products], and which photo has it, int64 [q, products].

    `scores` are [q, photos]; the photos of a product stand together and begin at `first_photos`. Of equally
    good photos the first one counts.
    """
    counts = np.diff([*first_photos, scores.shape[1]])
    best = scores[:, first_photos]
    photos = np.broadcast_to(first_photos, best.shape)
    for place in range(1, int(counts.max())):
        having = np.flatnonzero(counts > place)
        theirs = first_photos[having] + place
        better = scores[:, theirs] > best[:, having]
        if place == 1:
            photos = photos.copy()
        best[:, having] = np.where(better, scores[:, theirs], best[:, having])
        photos[:, having] = np.where(better, theirs, photos[:, having])
    return best, photos


def nearest(scores: Vectors, excluded: Sequence[Rows], depth: int) -> Order:
    """The `depth` products of the highest scores, [q, products], without those excluded from each query.

    Ties in millionths go by place, which is by id where products are in the order of their ids.
    """
    count = scores.shape[1]
    depth = min(depth, count)
    places = np.arange(count)
    # A number for each that no other has, so that the order has no ties to break.
    keys = np.rint(scores.astype(np.float64) * _SCALE).astype(np.int64) * count + (count - 1 - places)
    nobody = np.iinfo(np.int64).min
    for row, out in enumerate(excluded):
        keys[row, out] = nobody
    top = np.argpartition(keys, count - depth, axis=1)[:, count - depth :]
    chosen = np.take_along_axis(keys, top, axis=1)
    by_rank = np.argsort(-np.maximum(chosen, nobody + 1), axis=1)
    order = np.take_along_axis(top, by_rank, axis=1).astype(np.int32)
    order[np.take_along_axis(chosen, by_rank, axis=1) == nobody] = -1
    return order

"""How good vectors are at finding things, exactly and by brute force."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]

_CHUNK = 512


def recall_at(queries: Vectors, items: Vectors, k: int) -> float:
    """Share of queries whose own item (the same row) is among the first k; both [n, d] L2-normalised."""
    found = 0
    for start in range(0, len(queries), _CHUNK):
        scores = queries[start : start + _CHUNK] @ items.T
        own = scores[np.arange(len(scores)), start + np.arange(len(scores))]
        found += int(((scores > own[:, None]).sum(axis=1) < k).sum())
    return found / len(queries)


def neighbour_precision(vectors: Vectors, labels: Sequence[str], groups: Sequence[str], k: int) -> float:
    """Mean share of a row's k nearest rows that have its label.

    `vectors` are [n, d] L2-normalised. Rows of the same group are left out, so that a product does not find
    itself.
    """
    label_codes = np.unique(np.asarray(labels), return_inverse=True)[1]
    group_codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    hits = 0.0
    for start in range(0, len(vectors), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(vectors)))
        scores = vectors[rows] @ vectors.T
        scores[group_codes[rows][:, None] == group_codes[None, :]] = -2.0
        nearest = np.argpartition(-scores, k, axis=1)[:, :k]
        hits += float((label_codes[nearest] == label_codes[rows][:, None]).mean(axis=1).sum())
    return hits / len(vectors)


def precision_of_texts(texts: Vectors, images: Vectors, right: npt.NDArray[np.bool_], k: int) -> float:
    """Mean share of right images among a text's first k: texts [q, d], images [n, d], right [q, n]."""
    nearest = np.argsort(-(texts @ images.T), axis=1)[:, :k]
    return float(np.take_along_axis(right, nearest, axis=1).mean())

"""Maximal Marginal Relevance: an order in which hits are good and yet unlike those before them.

Jaime Carbonell and Jade Goldstein, "The Use of MMR, Diversity-Based Reranking for Reordering Documents and
Producing Summaries", SIGIR 1998. Of the hits that are left, the next one is always that with the highest

    (1 - diversity) x relevance - diversity x the highest cosine with any hit before it.
"""

from __future__ import annotations

import numpy as np

from services.mesh.vectors import Floats
from services.ranker.candidates import Doubles, Flags

# Compared are whole millionths: below that, sums of products differ between processors.
_MILLIONTHS = 1_000_000


def diverse(relevances: Doubles, vectors: Floats, diversity: float, count: int) -> list[int]:
    """The first `count` of n hits by marginal relevance, as places in what was given.

    `relevances` are float64 [n], descending, on the scale of cosines. `vectors`
    are float32 [n, d], of any length but zero; a row of NaN where there is none, which is then as near to
    each as two hits are to each other on average. `diversity` is 0 to 1. The first hit stays the first, and
    of equals the earlier one comes first. Takes O(count n d).
    """
    count = min(count, len(relevances))
    lengths: Floats = np.linalg.norm(vectors, axis=1)
    present: Flags = lengths > 0
    divisors = np.where(present, lengths, 1).astype(np.float32)
    units: Floats = np.nan_to_num(vectors) / divisors[:, None]
    neutral = _mean_cosine(units[present])
    gains = (1 - diversity) * relevances
    nearest = np.full(len(relevances), -np.inf)
    left: Flags = np.ones(len(relevances), dtype=np.bool_)
    order = [0][:count]
    while len(order) < count:
        last = order[-1]
        left[last] = False
        # Row by row: BLAS would spread so little over threads, and wait for them on a busy machine.
        cosines = np.where(present & present[last], np.vecdot(units, units[last]), neutral)
        np.maximum(nearest, cosines, out=nearest)
        worth = np.where(left, np.rint((gains - diversity * nearest) * _MILLIONTHS), -np.inf)
        # The first of the highest.
        order.append(int(worth.argmax()))
    return order


def _mean_cosine(units: Floats) -> float:
    """That of two different ones of m unit vectors, float32 [m, d]; 0 where there are no two."""
    count = len(units)
    if count < 2:
        return 0.0
    total = units.sum(axis=0, dtype=np.float64)
    # The square of the sum has every pair twice, and every vector's own product, which is 1.
    return (float(total @ total) - count) / (count * (count - 1))

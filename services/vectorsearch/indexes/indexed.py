"""What approximate indexes, and the rows that came after them, name as nearest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from services.vectorsearch.columns import Mask
from services.vectorsearch.indexes.approximate import ApproximateIndex
from services.vectorsearch.indexes.recall import over_fetch
from services.vectorsearch.kernels import Floats, Indices
from services.vectorsearch.views import Part

# Queries and rows, of equal length, in order of the query.
Pairs = tuple[Indices, Indices]


def named(
    parts: Sequence[Part],
    indexes: Sequence[tuple[ApproximateIndex, Floats]],
    depths: Sequence[int],
    masks: Sequence[Sequence[Mask | None] | None],
) -> list[Pairs]:
    """For each part, pairs of a query and a living row that an index names for it.

    `indexes` come with the queries in their spaces, float32 [q, d]; `depths` [q] are the rows that each query
    wants, and `masks` [q] the rows of each part that pass its filter, or None for a query without one.
    """
    starts = np.array([part.first_row for part in parts], dtype=np.int64)
    queries, numbers = _candidates(parts, indexes, depths, masks)
    places = np.searchsorted(starts, numbers, side="right") - 1
    rows = numbers - starts[places]
    pairs = []
    for place, part in enumerate(parts):
        # Rows beyond a part belonged to a segment that is gone.
        mine = (places == place) & (rows < part.size)
        its_queries, its_rows = queries[mine], rows[mine]
        if part.alive is not None:
            alive = part.alive[its_rows]
            its_queries, its_rows = its_queries[alive], its_rows[alive]
        pairs.append((its_queries, its_rows))
    return pairs


def _candidates(
    parts: Sequence[Part],
    indexes: Sequence[tuple[ApproximateIndex, Floats]],
    depths: Sequence[int],
    masks: Sequence[Sequence[Mask | None] | None],
) -> Pairs:
    """Queries and numbers of rows, each pair once, in that order."""
    found: list[Pairs] = []
    unfiltered = np.array([query for query, mask in enumerate(masks) if mask is None], dtype=np.int64)
    for index, vectors in indexes:
        if len(unfiltered):
            count = over_fetch(max(depths[query] for query in unfiltered.tolist()))
            found.append(_flat(unfiltered, index.candidates(vectors[unfiltered], count)))
        for query, mask in enumerate(masks):
            if mask is not None:
                passing = {part.first_row: its for part, its in zip(parts, mask, strict=True)}
                one = np.array([query], dtype=np.int64)
                count = over_fetch(depths[query])
                found.append(_flat(one, index.candidates(vectors[one], count, passing)))
    both = np.unique(np.stack([np.concatenate(column) for column in zip(*found, strict=True)]), axis=1)
    return both[0], both[1]


def _flat(queries: Indices, numbers: Indices) -> Pairs:
    kept = numbers >= 0
    return np.repeat(queries, kept.sum(axis=1)), numbers[kept]

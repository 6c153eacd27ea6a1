"""What approximate indexes name as nearest, of the rows that are alive now."""

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

# How many times more rows an index is asked for when those that it named were of too few products.
_MORE = 4


def named(
    parts: Sequence[Part],
    indexes: Sequence[tuple[ApproximateIndex, Floats]],
    depths: Sequence[int],
    masks: Sequence[Sequence[Mask | None] | None],
) -> list[Pairs]:
    """For each part, pairs of a query and a living row that an index names for it.

    `indexes` come with the queries in their spaces, float32 [q, d]; `depths` [q] are the products that each
    query wants, and `masks` [q] the living rows of each part that pass its filter, or None for a query
    without one. Every index names rows of so many products, unless it has no more.
    """
    # Not every index knows filters, and one that nothing fails is none.
    narrowing = [mask if mask is not None and _narrows(parts, mask) else None for mask in masks]
    found = [
        pairs
        for index, vectors in indexes
        for pairs in _living(parts, index, vectors, np.array(depths), narrowing)
    ]
    queries, numbers = (np.concatenate(column) for column in zip(*found, strict=True))
    # Each pair once, in that order.
    end = parts[-1].first_row + parts[-1].size
    queries, numbers = np.divmod(np.unique(queries * end + numbers), end)
    places = _places(parts, numbers)
    pairs = []
    for place, part in enumerate(parts):
        mine = np.flatnonzero(places == place)
        pairs.append((queries[mine], numbers[mine] - part.first_row))
    return pairs


def _living(
    parts: Sequence[Part],
    index: ApproximateIndex,
    vectors: Floats,
    depths: Indices,
    masks: Sequence[Sequence[Mask | None] | None],
) -> list[Pairs]:
    """Queries and numbers of living rows, in no order; some pairs more than once.

    Rows that died since the index was built, and many photos of one product, leave fewer products than rows
    were asked for. A query that they leave too few is asked again, for more.
    """
    found: list[Pairs] = []
    groups = [[query for query, mask in enumerate(masks) if mask is None]]
    groups += [[query] for query, mask in enumerate(masks) if mask is not None]
    asking = [(np.array(group), over_fetch(int(depths[group].max()))) for group in groups if group]
    while asking:
        queries, count = asking.pop()
        # Those that are asked together have no filter.
        mask = masks[int(queries[0])]
        passing = None if mask is None else _by_first_row(parts, mask)
        numbers = index.candidates(vectors[queries], count, passing)
        slots = _slots(parts, numbers)
        living = slots >= 0
        found.append((np.repeat(queries, np.count_nonzero(living, axis=1)), numbers[living]))
        products = np.count_nonzero(np.diff(np.sort(slots, axis=1), axis=1, prepend=-1), axis=1)
        # An index that names fewer rows than it was asked for has no more.
        short = queries[(products < depths[queries]) & (numbers >= 0).all(axis=1)]
        more = min(_MORE * count, index.rows + 1)
        asking += [(np.array([query]), more) for query in short.tolist()]
    return found


def _by_first_row(parts: Sequence[Part], mask: Sequence[Mask | None]) -> dict[int, Mask | None]:
    return {part.first_row: its for part, its in zip(parts, mask, strict=True)}


def _narrows(parts: Sequence[Part], mask: Sequence[Mask | None]) -> bool:
    """Whether any living row does not pass."""
    return any(
        its is not None and np.count_nonzero(its) < part.live for part, its in zip(parts, mask, strict=True)
    )


def _slots(parts: Sequence[Part], numbers: Indices) -> Indices:
    """The slot of the product of each row, in the shape of `numbers`; -1 for rows that are dead or gone."""
    slots: Indices = np.full(numbers.shape, -1, dtype=np.int64)
    places = _places(parts, numbers)
    for place in np.unique(places[places >= 0]).tolist():
        part = parts[place]
        mine = places == place
        rows = numbers[mine] - part.first_row
        # Rows beyond a part belonged to a segment that is gone.
        inside = np.minimum(rows, part.size - 1)
        there = rows < part.size if part.alive is None else (rows < part.size) & part.alive[inside]
        slots[mine] = np.where(there, part.slots[inside], -1)
    return slots


def _places(parts: Sequence[Part], numbers: Indices) -> Indices:
    """Which part each row would be in; -1 where it would be before all of them."""
    starts = np.array([part.first_row for part in parts], dtype=np.int64)
    places: Indices = np.searchsorted(starts, numbers, side="right") - 1
    return places

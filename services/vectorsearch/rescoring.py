"""The exact scores of pairs of a query and a row, and which products are the best by them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.vectorsearch.kernels import Floats, Indices, inner_products_at
from services.vectorsearch.lanes import Run
from services.vectorsearch.views import Part

Keys = npt.NDArray[np.int64]

# Scores are compared in millionths: below that, float32 sums differ between processors.
SCORE_SCALE = 1e6


@dataclass(frozen=True, slots=True)
class SpaceBatch:
    """Queries in one space as they came: `vectors` float32 [q, d], `weights` and `neutral` float64 [q]."""

    space: str
    vectors: Floats
    weights: npt.NDArray[np.float64]
    neutral: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scored:
    """Pairs of a query and a row, exactly scored; all of length [pairs] or [spaces, pairs]."""

    queries: Indices
    # Which part, and which of its rows.
    parts: Indices
    rows: Indices
    # The number of the row in the catalogue.
    numbers: Indices
    slots: Indices
    # float32 [spaces, pairs], NaN where a row has no vector in a space.
    cosines: Floats
    # Scores in millionths.
    keys: Keys


def scored(
    parts: Sequence[Part],
    pairs: Sequence[tuple[Indices, Indices]],
    spaces: Sequence[SpaceBatch],
    run: Run,
) -> Scored:
    """Score pairs, given for each part as queries and rows in order of the query.

    `run` may spread the parts over threads.
    """
    none: Indices = np.empty(0, dtype=np.int64)
    queries = np.concatenate([none, *(each for each, _ in pairs)])
    rows = np.concatenate([none, *(each for _, each in pairs)])
    cosines: Floats = np.empty((len(spaces), len(queries)), dtype=np.float32)
    starts = np.cumsum([0, *(len(each) for each, _ in pairs)]).tolist()

    def kernel(first: int, last: int) -> None:
        for number in range(first, last):
            its_queries, its_rows = pairs[number]
            if len(its_rows):
                for place, each in enumerate(spaces):
                    cosines[place, starts[number] : starts[number + 1]] = _cosines(
                        parts[number], each, its_queries, its_rows
                    )

    numbers = len(queries) * sum(each.vectors.shape[1] for each in spaces)
    run(kernel, len(parts), numbers // max(1, len(parts)))
    totals = np.zeros(len(queries))
    for each, its_cosines in zip(spaces, cosines, strict=True):
        measured = its_cosines.astype(np.float64)
        totals += np.where(np.isnan(measured), each.neutral[queries], measured) * each.weights[queries]
    return Scored(
        queries,
        np.repeat(np.arange(len(pairs)), [len(each) for each, _ in pairs]),
        rows,
        np.concatenate(
            [none, *(part.first_row + each for part, (_, each) in zip(parts, pairs, strict=True))]
        ),
        np.concatenate(
            [none, *(part.slots[each] for part, (_, each) in zip(parts, pairs, strict=True))], dtype=np.int64
        ),
        cosines,
        np.rint(totals * SCORE_SCALE).astype(np.int64),
    )


def best(found: Scored, pairs: Indices, product_id: Callable[[int], str], limit: int) -> Indices:
    """Of `pairs`, all of one query, the best of each product: the `limit` best, by key and then product id.

    Of equally good photos of a product the one that was given first counts. `product_id` tells that of a
    pair.
    """
    order = np.lexsort((found.numbers[pairs], -found.keys[pairs]))
    pairs = pairs[order]
    _, first = np.unique(found.slots[pairs], return_index=True)
    if len(first) < len(pairs):
        pairs = pairs[np.sort(first)]
    keys = found.keys[pairs]
    if len(pairs) > limit:
        pairs = pairs[: np.searchsorted(-keys, -keys[limit - 1], side="right")]
        keys = found.keys[pairs]
    for start, stop in _runs(keys):
        pairs[start:stop] = sorted(pairs[start:stop].tolist(), key=product_id)
    return pairs[:limit]


def _runs(keys: Keys) -> Iterator[tuple[int, int]]:
    """Where two or more neighbours are equal: the first place of each run, and the one after its last."""
    equal = np.concatenate([[False], keys[1:] == keys[:-1], [False]])
    edges = np.flatnonzero(equal[1:] != equal[:-1]).tolist()
    for start, last in zip(edges[::2], edges[1::2], strict=True):
        yield start, last + 1


def _cosines(part: Part, space: SpaceBatch, queries: Indices, rows: Indices) -> Floats:
    """float32 [pairs]."""
    matrix = part.matrices.get(space.space)
    if matrix is None:
        return np.full(len(rows), np.nan, dtype=np.float32)
    asked, starts = np.unique(queries, return_index=True)
    counts = np.diff(np.append(starts, len(queries)))
    line = np.repeat(np.arange(len(asked)), counts)
    place = np.arange(len(queries)) - np.repeat(starts, counts)
    table: Indices = np.full((len(asked), int(counts.max())), -1, dtype=np.int64)
    table[line, place] = rows
    vectors = space.vectors if len(asked) == len(space.vectors) else space.vectors[asked]
    cosines: Floats = inner_products_at(matrix, table, vectors)[line, place]
    present = part.present[space.space]
    if present is not None:
        cosines[~present[rows]] = np.nan
    return cosines

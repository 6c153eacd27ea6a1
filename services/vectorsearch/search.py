"""The products nearest to a query, exactly."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.vectorsearch.columns import Mask, Slots
from services.vectorsearch.kernels import Floats, Indices, inner_products, inner_products_at
from services.vectorsearch.lanes import Run, alone
from services.vectorsearch.rows import CatalogRows
from services.vectorsearch.segment import Segment

PLANS = ("empty", "flat", "gather")

# Scores are compared in millionths: below that, float32 sums differ between processors.
_SCORE_SCALE = 1e6


@dataclass(frozen=True, slots=True)
class SpaceQuery:
    """The query in one space: normalised float32 [d], its weight, and the cosine of rows without any."""

    space: str
    vector: Floats
    weight: float
    neutral: float


@dataclass(frozen=True, slots=True)
class Found:
    """The best products in descending order of score, equal scores by product id; columns of equal length."""

    plan: str
    rows_passed: int
    slots: Slots
    product_ids: list[str]
    photo_ids: list[str]
    # float32 [queries, products] of the best photo, NaN where it has no vector in the space.
    cosines: Floats


def search(
    rows: CatalogRows, queries: Sequence[SpaceQuery], passing: Mask, limit: int, *, run: Run = alone
) -> Found:
    """The `limit` products of `passing`, bool [slots], with the highest weighted sum of cosines.

    A product's score is that of its best photo; of equally good photos the one that was given first counts.
    Products without a photo are never found. `run` may spread the reading of the rows over threads.
    """
    parts = [(segment, passing[segment.slots[: segment.size]]) for segment in rows.segments]
    rows_total = sum(segment.size for segment in rows.segments)
    rows_passed = sum(int(np.count_nonzero(mask)) for _, mask in parts)
    if not rows_passed:
        return Found("empty", 0, np.empty(0, np.int64), [], [], np.empty((len(queries), 0), np.float32))
    # Picking rows costs nothing beside reading them: even when nearly all pass, it is as fast as one stream
    # over all.
    plan = "flat" if rows_passed == rows_total else "gather"

    picked = [np.flatnonzero(mask) for _, mask in parts]
    cosines: Floats = np.empty((len(queries), rows_passed), dtype=np.float32)
    scores: npt.NDArray[np.float64] = np.zeros(rows_passed, dtype=np.float64)
    starts = np.cumsum([0, *(len(places) for places in picked)])
    for number, query in enumerate(queries):
        for (segment, _), places, start in zip(parts, picked, starts.tolist(), strict=False):
            cosines[number, start : start + len(places)] = _cosines(segment, query, places, plan, run)
        measured = cosines[number].astype(np.float64)
        scores += np.where(np.isnan(measured), query.neutral, measured) * query.weight
    owners = np.concatenate(
        [segment.slots[places] for (segment, _), places in zip(parts, picked, strict=True)], dtype=np.int64
    )
    keys = np.rint(scores * _SCORE_SCALE).astype(np.int64)
    slots, best = _best(rows, owners, keys, limit)

    segment_of = (np.searchsorted(starts, best, side="right") - 1).tolist()
    row_of = np.concatenate(picked)[best].tolist()
    photo_ids = [parts[number][0].photo_ids[row] for number, row in zip(segment_of, row_of, strict=True)]
    product_ids = [rows.product_ids[slot] for slot in slots.tolist()]
    return Found(plan, rows_passed, slots, product_ids, photo_ids, cosines[:, best])


def _cosines(segment: Segment, query: SpaceQuery, places: Indices, plan: str, run: Run) -> Floats:
    """float32 [places]: NaN for rows without a vector in the space."""
    matrix = segment.matrices.get(query.space)
    if matrix is None:
        return np.full(len(places), np.nan, dtype=np.float32)
    cosines: Floats = np.empty(len(places), dtype=np.float32)

    def kernel(start: int, stop: int) -> None:
        if plan == "gather":
            cosines[start:stop] = inner_products_at(matrix, places[start:stop], query.vector)
        else:
            cosines[start:stop] = inner_products(matrix[start:stop], query.vector)

    run(kernel, len(places), matrix.shape[1])
    present = segment.present[query.space][places]
    if not present.all():
        cosines[~present] = np.nan
    return cosines


def _best(
    rows: CatalogRows, owners: Slots, keys: npt.NDArray[np.int64], limit: int
) -> tuple[Slots, npt.NDArray[np.int64]]:
    """The slots of the best products in order, and for each the first of its rows with its best key."""
    lowest = np.iinfo(np.int64).min
    best_key: npt.NDArray[np.int64] = np.full(len(rows.product_ids), lowest, dtype=np.int64)
    np.maximum.at(best_key, owners, keys)
    slots = np.flatnonzero(best_key != lowest)
    if len(slots) > limit:
        its_keys = best_key[slots]
        least = np.partition(its_keys, -limit)[-limit]
        above, level = slots[its_keys > least], slots[its_keys == least]
        kept = heapq.nsmallest(limit - len(above), level.tolist(), key=rows.product_ids.__getitem__)
        slots = np.concatenate([above, np.array(kept, dtype=np.int64)])
    by_id = np.array(sorted(slots.tolist(), key=rows.product_ids.__getitem__), dtype=np.int64)
    slots = by_id[np.argsort(-best_key[by_id], kind="stable")]

    wanted: Mask = np.zeros(len(best_key), dtype=np.bool_)
    wanted[slots] = True
    candidates = np.flatnonzero(wanted[owners] & (keys == best_key[owners]))[::-1]
    first_row = np.empty(len(best_key), dtype=np.int64)
    # Backwards, so that of equally good rows the first is assigned last.
    first_row[owners[candidates]] = candidates
    return slots, first_row[slots]

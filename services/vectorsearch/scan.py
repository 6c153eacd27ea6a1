"""The first pass of many queries over all rows of a view: what might be among the best of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.vectorsearch.bar import Bar
from services.vectorsearch.columns import Mask
from services.vectorsearch.first_pass import Asked, asked
from services.vectorsearch.kernels import Floats, Indices
from services.vectorsearch.lanes import Run
from services.vectorsearch.rescoring import SpaceBatch
from services.vectorsearch.views import Part

# Scores that are looked at together: as many as stay in the processor's cache.
_AT_ONCE = 1 << 20

# Scores are compared in millionths, so what is this close may be equal.
_SLACK = 2e-6
# Of adding up weighted neutral cosines in float32: some roundings, as a share.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Prepared:
    """The queries of a batch in one space: weighted vectors, and the weighted cosine of rows without one."""

    space: str
    asked: Asked
    # float32 [q, 1].
    neutral: Floats


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one query of a batch wants: `depth` rows not below `floor`.

    `masks` tells for every part which rows may be among them, bool [size] or None for all.
    """

    depth: int
    floor: float
    masks: Sequence[Mask | None]


@dataclass(frozen=True, slots=True)
class Survivors:
    """Rows that may be among the best: a query, the number of a part and a row of it each, in that order."""

    queries: Indices
    parts: Indices
    rows: Indices
    # float32: no exact score is above it.
    highest: Floats


def _prepared(batch: SpaceBatch) -> Prepared:
    scale = batch.weights.astype(np.float32)[:, None]
    neutral = batch.neutral.astype(np.float32)[:, None]
    return Prepared(batch.space, asked(batch.vectors * scale), scale * neutral)


def scan(
    parts: Sequence[Part], spaces: Sequence[SpaceBatch], wanted: Sequence[Wanted], run: Run
) -> list[Survivors]:
    """For every query the rows that may be among its best. `run` may spread the parts over threads."""
    ready = [_prepared(batch) for batch in spaces]
    done: list[tuple[Bar, list[Survivors]]] = []

    def lane(start: int, stop: int) -> None:
        bar = _bar(wanted)
        groups = _groups(parts, start, stop, _AT_ONCE // len(wanted))
        done.append((bar, [_survivors(parts, group, ready, wanted, bar) for group in groups]))

    numbers = sum(batch.vectors.shape[1] for batch in spaces) * sum(part.size for part in parts)
    run(lane, len(parts), numbers // max(1, len(parts)))
    bar = _bar(wanted)
    for each, _ in done:
        bar.join(each)
    levels = bar.levels.astype(np.float32)
    return [_above(each, levels) for _, found in done for each in found]


def _bar(wanted: Sequence[Wanted]) -> Bar:
    return Bar([each.depth for each in wanted], [each.floor - _SLACK for each in wanted])


def _groups(parts: Sequence[Part], start: int, stop: int, rows: int) -> list[range]:
    """Parts that are looked at together: for few queries many, for many queries as few as one."""
    groups = []
    while start < stop:
        end = start + 1
        size = parts[start].size
        while end < stop and size + parts[end].size <= rows:
            size += parts[end].size
            end += 1
        groups.append(range(start, end))
        start = end
    return groups


def _survivors(
    parts: Sequence[Part],
    group: range,
    spaces: Sequence[Prepared],
    wanted: Sequence[Wanted],
    bar: Bar,
) -> Survivors:
    bounds = [_bounds(parts[number], spaces) for number in group]
    scores = _joined([each for each, _ in bounds])
    error = np.max([each for _, each in bounds], axis=0)
    sizes = [parts[number].size for number in group]
    for query, each in enumerate(wanted):
        masks = [each.masks[number] for number in group]
        if any(mask is not None for mask in masks):
            passing = np.concatenate(
                [
                    np.ones(size, np.bool_) if mask is None else mask
                    for size, mask in zip(sizes, masks, strict=True)
                ]
            )
            np.copyto(scores[query], np.float32(-np.inf), where=~passing)
    bar.rise(scores, error)
    least = (bar.levels - error).astype(np.float32)
    # Rounding must not raise it; and a row that is none stays none where every row will do.
    np.nextafter(least, np.float32(-np.inf), out=least)
    np.maximum(least, np.finfo(np.float32).min, out=least)
    pairs = np.flatnonzero(scores >= least[:, None])
    queries, places = np.divmod(pairs, scores.shape[1])
    ends: Indices = np.cumsum(sizes)
    owners = np.searchsorted(ends, places, side="right")
    return Survivors(
        queries,
        owners + group.start,
        places - (ends - np.array(sizes))[owners],
        scores.reshape(-1)[pairs] + (error.astype(np.float32) * np.float32(1.0001))[queries],
    )


def _bounds(part: Part, spaces: Sequence[Prepared]) -> tuple[Floats, npt.NDArray[np.float64]]:
    """Weighted sums float32 [q, size], and how far they may be from the exact ones, float64 [q]."""
    total: Floats | None = None
    error: npt.NDArray[np.float64] = np.full(len(spaces[0].neutral), _SLACK)
    for each in spaces:
        error += np.abs(each.neutral[:, 0]) * _ROUNDING
        packs = part.packs.get(each.space)
        if packs is None:
            scores = np.repeat(each.neutral, part.size, axis=1)
        else:
            scores = _joined([pack.scores(each.asked) for pack in packs])
            error += np.max([pack.error(each.asked) for pack in packs], axis=0)
            present = part.present[each.space]
            if present is not None:
                scores[:, ~present] = each.neutral
        total = scores if total is None else np.add(total, scores, out=total)
    assert total is not None
    return total, error


def _joined(scores: list[Floats]) -> Floats:
    return scores[0] if len(scores) == 1 else np.concatenate(scores, axis=1)


def _above(found: Survivors, levels: Floats) -> Survivors:
    kept = found.highest >= levels[found.queries]
    return Survivors(found.queries[kept], found.parts[kept], found.rows[kept], found.highest[kept])

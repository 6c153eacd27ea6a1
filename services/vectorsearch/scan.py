"""The first pass of many queries over all rows of a view: what might be among the best of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.vectorsearch.bar import Bar
from services.vectorsearch.columns import Mask
from services.vectorsearch.first_pass import Asked, Pack, asked
from services.vectorsearch.kernels import Floats, Indices
from services.vectorsearch.lanes import Run
from services.vectorsearch.views import Part

# Scores are compared in millionths, so what is this close may be equal.
_SLACK = 2e-6


@dataclass(frozen=True, slots=True)
class SpaceBatch:
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
    """Rows of one part that may be among the best: pairs of a query and a row, in that order."""

    part: int
    queries: Indices
    rows: Indices
    # float32 [pairs]: no exact score is above it.
    highest: Floats


def space_batch(
    space: str, vectors: Sequence[Floats], weights: Sequence[float], neutral: Sequence[float]
) -> SpaceBatch:
    """Queries float32 [d] each, with their weights and neutral cosines."""
    scale = np.array(weights, dtype=np.float32)[:, None]
    return SpaceBatch(
        space, asked(np.stack(vectors) * scale), scale * np.array(neutral, dtype=np.float32)[:, None]
    )


def scan(
    parts: Sequence[Part], spaces: Sequence[SpaceBatch], wanted: Sequence[Wanted], run: Run
) -> list[Survivors]:
    """For every query the rows that may be among its best. `run` may spread the parts over threads."""
    done: list[tuple[Bar, list[Survivors]]] = []

    def lane(start: int, stop: int) -> None:
        bar = _bar(wanted)
        done.append(
            (bar, [_survivors(part, parts[part], spaces, wanted, bar) for part in range(start, stop)])
        )

    numbers = sum(len(each.asked.vectors[0]) for each in spaces) * sum(part.size for part in parts)
    run(lane, len(parts), numbers // max(1, len(parts)))
    bar = _bar(wanted)
    for each, _ in done:
        bar.join(each)
    levels = bar.levels.astype(np.float32)
    return [_above(each, levels) for _, found in done for each in found]


def _bar(wanted: Sequence[Wanted]) -> Bar:
    return Bar([each.depth for each in wanted], [each.floor - _SLACK for each in wanted])


def _survivors(
    number: int, part: Part, spaces: Sequence[SpaceBatch], wanted: Sequence[Wanted], bar: Bar
) -> Survivors:
    lowest, margin, error = _bounds(part, spaces)
    for query, each in enumerate(wanted):
        mask = each.masks[number]
        if mask is not None:
            np.copyto(lowest[query], np.float32(-np.inf), where=~mask)
    bar.rise(lowest, error)
    highest = lowest
    if margin is not None:
        margin *= np.float32(2)
        highest += margin
    least = (bar.levels - error).astype(np.float32)
    # Rounding must not raise it; and a row that is none stays none where every row will do.
    np.nextafter(least, np.float32(-np.inf), out=least)
    np.maximum(least, np.finfo(np.float32).min, out=least)
    pairs = np.flatnonzero(highest >= least[:, None])
    queries, rows = np.divmod(pairs, part.size)
    reach = highest.reshape(-1)[pairs] + (error.astype(np.float32) * np.float32(1.0001))[queries]
    return Survivors(number, queries, rows, reach)


def _bounds(
    part: Part, spaces: Sequence[SpaceBatch]
) -> tuple[Floats, Floats | None, npt.NDArray[np.float64]]:
    """The least that the weighted sums may be, float32 [q, size], but for `error`, float64 [q].

    Between them: twice the second, float32 [q, size], more and they may be no more, but for `error`.
    """
    total: Floats | None = None
    margin: Floats | None = None
    error: npt.NDArray[np.float64] = np.full(len(spaces[0].neutral), _SLACK)
    for each in spaces:
        packs = part.packs.get(each.space)
        if packs is None:
            scores = np.repeat(each.neutral, part.size, axis=1)
        else:
            scores = _joined([pack.scores(each.asked) for pack in packs])
            error += np.max([pack.error(each.asked) for pack in packs], axis=0)
            off = _off(packs)
            present = part.present[each.space]
            if present is not None:
                scores[:, ~present] = each.neutral
            if off is not None:
                its_margin = each.asked.norms.astype(np.float32)[:, None] * off
                margin = its_margin if margin is None else np.add(margin, its_margin, out=margin)
        total = scores if total is None else np.add(total, scores, out=total)
    assert total is not None
    if margin is not None:
        total -= margin
    return total, margin, error


def _off(packs: Sequence[Pack]) -> Floats | None:
    """float32 [size], or None where it is nothing everywhere."""
    if all(pack.off is None for pack in packs):
        return None
    return np.concatenate(
        [np.zeros(pack.rows, dtype=np.float32) if pack.off is None else pack.off for pack in packs]
    )


def _joined(scores: list[Floats]) -> Floats:
    return scores[0] if len(scores) == 1 else np.concatenate(scores, axis=1)


def _above(found: Survivors, levels: Floats) -> Survivors:
    kept = found.highest >= levels[found.queries]
    return Survivors(found.part, found.queries[kept], found.rows[kept], found.highest[kept])

"""What a search may ask of an order besides the score: a threshold, few of a kind, variety.

It goes for all candidates before the page is cut, so that it holds over the pages together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from services.mesh.vectors import Floats
from services.ranker.candidates import Candidates, Column
from services.ranker.diversity import diverse
from services.ranker.scoring import Cursor, Ranking

# So many of the first are put in another order for variety; the rest follow as they are.
DIVERSE = 200

_INFERRED = "inferred."
_MILLIONTHS = 1_000_000


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `size` candidates of a value of a label column."""

    attribute: str
    size: int


@dataclass(frozen=True, slots=True)
class Variety:
    """How much variety is wanted, 0 to 1, and what the first m candidates look like.

    `vectors` are float32 [m, d], a row of NaN for a candidate without one; None when none came.
    """

    diversity: float
    vectors: Floats | None


@dataclass(frozen=True, slots=True)
class Arrangement:
    """What is asked of an order. `max_shortfall` is from the best possible score."""

    max_shortfall: float | None = None
    cap: Cap | None = None
    variety: Variety | None = None

    @property
    def is_plain(self) -> bool:
        """Whether nothing is asked."""
        return self.max_shortfall is None and self.cap is None and self.variety is None

    def lacking(self, candidates: Candidates) -> list[str]:
        """Names of what is asked and cannot be done."""
        is_blind = self.variety is not None and self.variety.vectors is None
        return ["diversity"] if is_blind and len(candidates) > 1 else []


def arranged(ranking: Ranking, candidates: Candidates, wanted: Arrangement, *, depth: int) -> Ranking:
    """A ranking of all candidates with the order that is wanted of them, as far as its first `depth`."""
    order: Iterable[int] = ranking.order
    if wanted.max_shortfall is not None:
        order = _enough(order, ranking, wanted.max_shortfall)
    if wanted.cap is not None:
        order = _capped(order, candidates.labels[wanted.cap.attribute], wanted.cap)
    places = list(order)
    if wanted.variety is not None and wanted.variety.vectors is not None:
        places = _varied(places, ranking, wanted.variety.diversity, wanted.variety.vectors, depth)
    return replace(ranking, order=places)


def page(
    ranking: Ranking, candidates: Candidates, *, limit: int, after: Cursor | None, offset: int
) -> Ranking:
    """The next `limit` of a ranking: behind `after` in an order by score, else from place `offset` on."""
    order = ranking.order
    if after is not None:
        last = (-round(after.score * _MILLIONTHS), after.product_id)
        order = [
            place
            for place in order
            if (-round(float(ranking.scores[place]) * _MILLIONTHS), candidates.product_ids[place]) > last
        ]
    end = offset + limit
    return replace(ranking, order=order[offset:end], more=len(order) > end)


def _enough(order: Iterable[int], ranking: Ranking, max_shortfall: float) -> Iterator[int]:
    best = ranking.best_possible_score
    # The very difference by which the caller tells similarities, so that both agree at the threshold.
    return (place for place in order if best - float(ranking.scores[place]) <= max_shortfall)


def _capped(order: Iterable[int], column: Column, cap: Cap) -> Iterator[int]:
    # A label column falls back on what was inferred, with a lower probability; a group is of what is stated.
    least = 0.0 if cap.attribute.startswith(_INFERRED) else 1.0
    seen: Counter[int] = Counter()
    for place in order:
        code = int(column.codes[place])
        if code >= 0 and column.probabilities[place] >= least:
            seen[code] += 1
            if seen[code] > cap.size:
                continue
        yield place


def _varied(order: list[int], ranking: Ranking, diversity: float, vectors: Floats, depth: int) -> list[int]:
    first = order[:DIVERSE]
    looks: Floats = np.full((len(first), vectors.shape[1]), np.nan, dtype=np.float32)
    places = np.array(first, dtype=np.int64)
    known = places < len(vectors)
    looks[known] = vectors[places[known]]
    # All spaces together weigh 1, so what is missing to the best compares with cosines.
    relevance = 1 - (ranking.best_possible_score - ranking.scores[places])
    varied = [first[place] for place in diverse(relevance, looks, diversity, depth)]
    shown = set(varied)
    return [*varied, *(place for place in order if place not in shown)]

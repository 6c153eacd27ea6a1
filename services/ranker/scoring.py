"""The hybrid score and the order: a weighted sum of terms, drops with reasons, the best few, page by page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.ranker import terms
from services.ranker.candidates import Candidates, Doubles, Flags, Integers
from services.ranker.query import Query, Source, shows_same_photo
from services.ranker.taxonomy import GENDERS, contradicts, gender_of
from services.ranker.terms import Term

# Scores are whole millionths: equal on every machine and in every page, exact in JSON.
_MILLIONTHS = 1_000_000

# Products for a group are dropped where it is no likelier than this that the photo shows something for it.
# Validated on 1,527 products of two shops: of a hundred dropped one was right, half of the wrong ones went.
LEAST_COMPATIBLE = 0.07

# The one label that a candidate is dropped for.
_LABEL = "gender"


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last hit of the page before."""

    score: float
    product_id: str


class Dropped(NamedTuple):
    """A candidate that was left out: its place in the columns, and why, for people."""

    place: int
    reason: str


@dataclass(frozen=True, slots=True)
class Drops:
    """All candidates that were left out for one label: their `places` in the columns, int64 [d], ascending.

    `codes`, int64 [d], say which of the `reasons` each has. Hundreds may go, but only the first are told of.
    """

    label: str
    places: Integers
    codes: Integers
    reasons: Mapping[int, str]

    def __len__(self) -> int:
        return len(self.places)

    def first(self, count: int) -> list[Dropped]:
        """The first `count`, or all where there are fewer."""
        told = zip(self.places[:count].tolist(), self.codes[:count].tolist(), strict=True)
        return [Dropped(place, self.reasons[code]) for place, code in told]


_NO_DROPS = Drops(_LABEL, np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), {})


@dataclass(frozen=True, slots=True)
class Ranking:
    """One page: `order` are places in the columns, `scores` float64 [n] and `terms` are of all candidates."""

    order: list[int]
    more: bool
    scores: npt.NDArray[np.float64]
    terms: list[Term]
    dropped: Drops
    best_possible_score: float


def rank(
    candidates: Candidates,
    query: Query,
    weights: Mapping[str, float],
    *,
    limit: int,
    after: Cursor | None = None,
) -> Ranking:
    """The best `limit` candidates behind `after`: descending score, ties by product id.

    Takes O(n + k log k) for n candidates and k hits. The contributions (value x weight) of a candidate's
    terms add up to its score within half a millionth.
    """
    summands = terms.measure(candidates, query, weights)
    millionths = _rounded(_total(summands, len(candidates)))
    gender = query.gender
    weighed = gender is not None and weights.get(terms.name_of(terms.GENDER, gender, weights))
    dropped = _contradictions(candidates, query) if weighed else _NO_DROPS
    eligible = np.ones(len(candidates), dtype=np.bool_)
    eligible[dropped.places] = False
    if after is not None:
        eligible &= _behind(after, millionths, candidates)
    order, more = _best(millionths, candidates, eligible, limit)
    return Ranking(
        order=order,
        more=more,
        scores=millionths / _MILLIONTHS,
        terms=summands,
        dropped=dropped,
        best_possible_score=round(sum(term.weight * term.best for term in summands), 6),
    )


def _total(summands: list[Term], count: int) -> npt.NDArray[np.float64]:
    # Term by term in their fixed order: a sum along an axis may associate otherwise for another shape.
    total = np.zeros(count)
    for term in summands:
        total += term.weight * term.values
    return total


def _rounded(scores: npt.NDArray[np.float64]) -> Integers:
    return np.rint(scores * _MILLIONTHS).astype(np.int64)


def _behind(after: Cursor, millionths: Integers, candidates: Candidates) -> Flags:
    last = round(after.score * _MILLIONTHS)
    behind: Flags = millionths < last
    for index in np.flatnonzero(millionths == last).tolist():
        behind[index] = candidates.product_ids[index] > after.product_id
    return behind


def _best(
    millionths: Integers, candidates: Candidates, eligible: Flags, limit: int
) -> tuple[list[int], bool]:
    places = np.flatnonzero(eligible)
    more = len(places) > limit
    if more:
        # Everybody who ties with the last place stays in until ids have decided.
        threshold = np.partition(millionths[places], len(places) - limit)[len(places) - limit]
        places = places[millionths[places] >= threshold]
    scores = millionths.tolist()
    ordered = sorted(places.tolist(), key=lambda place: (-scores[place], candidates.product_ids[place]))
    return ordered[:limit], more


def _contradictions(candidates: Candidates, query: Query) -> Drops:
    """Candidates whose shop states a gender that contradicts the query's; guesses of candidates drop nobody.

    The query's is what is stated or said, or what a model is sure enough of; neighbours alone are not, and a
    model cannot part the query from its own photo.
    """
    column, belief = candidates.labels.get(_LABEL), query.gender
    if belief is None or not belief.shares.any() or column is None:
        return _NO_DROPS
    if belief.source in {Source.SAME_PHOTO, Source.VOTED}:
        return _NO_DROPS
    wanted = GENDERS[int(belief.shares.argmax())]
    least = 0.0 if belief.is_certain else LEAST_COMPATIBLE
    said = "is" if belief.is_certain else "looks"
    reasons = {
        code: f"is for {value}, the query {said} for {wanted}"
        for code, value in enumerate(column.values)
        if (offered := gender_of(value)) is not None
        and contradicts(wanted, offered)
        and _compatible(belief.shares, offered) <= least
    }
    # Code -1, nothing known, reads the last entry.
    contradicting = np.array([code in reasons for code in range(len(column.values) + 1)])
    at_fault = contradicting[column.codes] & (column.probabilities >= 1)
    if not belief.is_certain:
        at_fault &= ~shows_same_photo(candidates)
    places = np.flatnonzero(at_fault)
    return Drops(_LABEL, places, column.codes[places], reasons)


def _compatible(shares: Doubles, offered: str) -> float:
    """The probability that the query is for a group which `offered` does not contradict."""
    return float(
        sum(
            share
            for gender, share in zip(GENDERS, shares.tolist(), strict=True)
            if not contradicts(gender, offered)
        )
    )

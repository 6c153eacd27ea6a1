"""The hybrid score and the order: a weighted sum of terms, drops with reasons, the best few, page by page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.ranker import terms
from services.ranker.candidates import Candidates, Flags, Integers
from services.ranker.query import Query
from services.ranker.taxonomy import GENDERS, contradicts, gender_of
from services.ranker.terms import Term

# Scores are whole millionths: equal on every machine and in every page, exact in JSON.
_MILLIONTHS = 1_000_000


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last hit of the page before."""

    score: float
    product_id: str


class Dropped(NamedTuple):
    """A candidate that was left out: its place in the columns, the label at fault, and why, for people."""

    place: int
    label: str
    reason: str


@dataclass(frozen=True, slots=True)
class Ranking:
    """One page: `order` are places in the columns, `scores` float64 [n] and `terms` are of all candidates."""

    order: list[int]
    more: bool
    scores: npt.NDArray[np.float64]
    terms: list[Term]
    dropped: list[Dropped]
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
    dropped = _contradictions(candidates, query) if weights.get(terms.GENDER) else []
    eligible = np.ones(len(candidates), dtype=np.bool_)
    eligible[[drop.place for drop in dropped]] = False
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


def _contradictions(candidates: Candidates, query: Query) -> list[Dropped]:
    """Candidates whose shop states a gender that contradicts the one asked for; guesses drop nobody."""
    column = candidates.labels.get("gender")
    if query.gender is None or not query.gender.is_certain or not query.gender.shares.any() or column is None:
        return []
    wanted = GENDERS[int(query.gender.shares.argmax())]
    reasons = {
        code: f"is for {value}, the query is for {wanted}"
        for code, value in enumerate(column.values)
        if (offered := gender_of(value)) is not None and contradicts(wanted, offered)
    }
    # Code -1, nothing known, reads the last entry.
    contradicting = np.array([code in reasons for code in range(len(column.values) + 1)])
    places = np.flatnonzero(contradicting[column.codes] & (column.probabilities >= 1))
    return [
        Dropped(place, "gender", reasons[code])
        for place, code in zip(places.tolist(), column.codes[places].tolist(), strict=True)
    ]

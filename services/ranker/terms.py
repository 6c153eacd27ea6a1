"""The summands of a score: how well each candidate looks like, suits and matches the query.

Each term is measured for all candidates at once; what a candidate lacks is `absent` and takes a neutral
value. A term without meaning for the query is left out for all, so that it moves nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.ranker.candidates import Candidates, Column, Doubles, Flags
from services.ranker.query import Belief, Query, Source, shows_same_photo
from services.ranker.taxonomy import (
    FAMILIES,
    GENDERS,
    colour_agreement,
    family_of,
    gender_agreement,
    gender_of,
)
from services.ranker.text import Term as Word
from services.ranker.words import stems

VISUAL = "visual."
GENDER = "semantic.gender"
CATEGORY = "semantic.category"
COLOUR = "semantic.colour"
TEXT = "text.match"
NAMES = (GENDER, CATEGORY, COLOUR, TEXT)

# Of a semantic or text term, where a candidate does not say.
NEUTRAL = 0.5

# Agreement with a value that the taxonomy does not have.
_UNKNOWN = (np.nan, 0.0)

_GENDER_AGREEMENT = np.array([[gender_agreement(a, b) for b in GENDERS] for a in GENDERS])
_FAMILY_AGREEMENT = np.eye(len(FAMILIES))


@dataclass(frozen=True, slots=True)
class Term:
    """One summand: `values` float64 [n], `absent` bool [n], `best` the highest value that could be."""

    name: str
    weight: float
    values: Doubles
    absent: Flags
    best: float


def measure(candidates: Candidates, query: Query, weights: Mapping[str, float]) -> list[Term]:
    """The terms that have a weight and a meaning, in a fixed order."""
    terms = _visual(candidates, weights)
    same = shows_same_photo(candidates)
    measures: dict[str, Callable[[], tuple[Doubles, float] | None]] = {
        GENDER: lambda: _gender(candidates, query.gender, same),
        CATEGORY: lambda: _category(candidates, query, same),
        COLOUR: lambda: _colour(candidates, query.colour),
        TEXT: lambda: _text(candidates, query.terms),
    }
    for name, measure_it in measures.items():
        measured = measure_it() if weights.get(name) else None
        if measured is not None:
            values, best = measured
            absent = np.isnan(values)
            terms.append(Term(name, weights[name], np.where(absent, NEUTRAL, values), absent, best))
    return terms


def _visual(candidates: Candidates, weights: Mapping[str, float]) -> list[Term]:
    spaces = sorted(
        (space for space in candidates.spaces if weights.get(VISUAL + space.name)),
        key=lambda space: space.name,
    )
    # A query without a vector in some space gives that space's weight to the others.
    total = sum(weight for name, weight in sorted(weights.items()) if name.startswith(VISUAL))
    present = sum(weights[VISUAL + space.name] for space in spaces)
    terms = []
    for space in spaces:
        absent = np.isnan(space.cosines)
        values = np.where(absent, space.neutral, space.cosines)
        terms.append(
            Term(VISUAL + space.name, weights[VISUAL + space.name] * total / present, values, absent, 1.0)
        )
    return terms


def _gender(candidates: Candidates, belief: Belief | None, same: Flags) -> tuple[Doubles, float] | None:
    if belief is None:
        return None
    agreement = _Agreement(belief, belief.values, _GENDER_AGREEMENT, GENDERS, gender_of)
    values = agreement.of(candidates.labels.get("gender"), len(candidates))
    return _sure_of_itself(values, agreement.best, belief, same)


def _category(candidates: Candidates, query: Query, same: Flags) -> tuple[Doubles, float] | None:
    belief = query.category
    if belief is None:
        return None
    agreement = _Agreement(belief, belief.values + query.types, _FAMILY_AGREEMENT, FAMILIES, family_of)
    # A type tells more than a category, but products of one shop's category are of one category.
    by_type = agreement.of(candidates.labels.get("type"), len(candidates))
    by_category = agreement.of(candidates.labels.get("category"), len(candidates))
    values = np.where(np.isnan(by_type), by_category, by_type)
    if belief.is_in_shop_words:
        values = np.fmax(values, agreement.same_words(candidates.labels.get("category"), len(candidates)))
    return _sure_of_itself(values, agreement.best, belief, same)


def _colour(candidates: Candidates, belief: Belief | None) -> tuple[Doubles, float] | None:
    if belief is None:
        return None
    column = candidates.labels.get("colour")
    if column is None:
        return np.full(len(candidates), np.nan), 1.0
    agreements = [_colour_agreement(belief.values, value) for value in column.values]
    return _expected(column, agreements, [NEUTRAL] * len(agreements)), 1.0


def _colour_agreement(wanted: Sequence[str], offered: str) -> float:
    known = [found for colour in wanted if (found := colour_agreement(colour, offered)) is not None]
    return max(known, default=np.nan)


def _text(candidates: Candidates, words: Sequence[Word]) -> tuple[Doubles, float] | None:
    if not words:
        return None
    matches = np.zeros((len(words), len(candidates)))
    known = np.zeros(len(candidates), dtype=np.bool_)
    for name in ("type", "category"):
        column = candidates.labels.get(name)
        if column is None or not column.values:
            continue
        known |= column.codes >= 0
        occurs = np.array([word.occurs_in(column.values) for word in words], dtype=float)
        # Code -1 reads the last value, which the mask then takes away again.
        matches = np.maximum(matches, occurs[:, column.codes] * column.probabilities * (column.codes >= 0))
    # Row by row, so that the order of addition is the same for every number of candidates.
    total = np.zeros(len(candidates))
    for row in matches:
        total += row
    return np.where(known, total / len(words), np.nan), 1.0


class _Agreement:
    """How far candidates' values of one property agree with what is believed of the query."""

    def __init__(
        self,
        belief: Belief,
        own_words: Sequence[str],
        matrix: Doubles,
        names: tuple[str, ...],
        label_of: Callable[[str], str | None],
    ) -> None:
        self._own_words = {stems(word) for word in own_words} if belief.is_in_shop_words else set()
        expected: list[float] = (belief.shares @ matrix).tolist() if belief.shares.any() else []
        others = sum(expected)
        # A label's agreement if the candidate is what it says, and the mean agreement if it is any other.
        self._by_label = {
            name: (agreement, (others - agreement) / (len(names) - 1))
            for name, agreement in zip(names, expected, strict=False)
        }
        self._label_of = label_of
        # A shop's word that the taxonomy lacks is still matched by the same word.
        self.best = max(expected, default=1.0)

    def of(self, column: Column | None, count: int) -> Doubles:
        """float64 [count]: the expected agreement, NaN where nothing can be said."""
        if column is None:
            return np.full(count, np.nan)
        pairs = [self._of_value(value) for value in column.values]
        return _expected(column, [pair[0] for pair in pairs], [pair[1] for pair in pairs])

    def same_words(self, column: Column | None, count: int) -> Doubles:
        """float64 [count]: 1 where the shop states the query's own value, NaN elsewhere.

        A value that the taxonomy does not have (`Accessories`) joins hats with earrings: it counts only where
        nothing more is known of the query.
        """
        if column is None:
            return np.full(count, np.nan)
        same = [
            1.0
            if stems(value) in self._own_words and (self._label_of(value) or not self._by_label)
            else np.nan
            for value in column.values
        ]
        return np.where(column.probabilities >= 1, _expected(column, same, same), np.nan)

    def _of_value(self, value: str) -> tuple[float, float]:
        agreement, otherwise = self._by_label.get(self._label_of(value) or "", _UNKNOWN)
        if self._own_words and stems(value) in self._own_words:
            agreement = 1.0
        return agreement, otherwise


def _expected(column: Column, agreements: Sequence[float], otherwise: Sequence[float]) -> Doubles:
    """The mean of both, one a value, by each candidate's probability: float64 [n], NaN without value."""
    # Code -1 reads the last entry.
    if_so = np.array([*agreements, np.nan])[column.codes]
    if_not = np.array([*otherwise, 0.0])[column.codes]
    expected: Doubles = if_not + column.probabilities * (if_so - if_not)
    return expected


def _sure_of_itself(values: Doubles, best: float, belief: Belief, same: Flags) -> tuple[Doubles, float]:
    """What a model merely guesses of the query cannot part it from its own photo."""
    return (np.where(same, best, values) if belief.source is Source.INFERRED else values), best

"""The summands of a score: how well each candidate looks like, suits and matches the query.

Each term is measured for all candidates at once; what a candidate lacks is `absent` and takes a neutral
value. A term without meaning for the query is left out for all, so that it moves nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

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
    kind_of,
)
from services.ranker.text import Term as Word
from services.ranker.words import stems

VISUAL = "visual."
GENDER = "semantic.gender"
CATEGORY = "semantic.category"
TYPE = "semantic.type"
COLOUR = "semantic.colour"
TEXT = "text.match"
# What a shop states of the query's product, or the shopper of what is wanted, has weights of its own. A
# profile without them gives it the weight of what is inferred.
KNOWN = {
    GENDER: "known.gender",
    CATEGORY: "known.category",
    TYPE: "known.type",
    COLOUR: "known.colour",
}
# Who says a colour means it: of all that a shop states of a product it is what others like it need not share.
SAID_COLOUR = "said.colour"
INFERRED = tuple(KNOWN)
NAMES = (*INFERRED, *KNOWN.values(), SAID_COLOUR, TEXT)

# What is guessed of the query and of a candidate too weighs so much of what is guessed of the query alone:
# where nothing is stated nobody tells how far the models hold.
_BOTH_GUESSED = 0.25
# The labels that each term reads of candidates.
_TOLD_BY = {GENDER: ("gender",), CATEGORY: ("category", "type"), TYPE: ("type",), COLOUR: ("colour",)}

# Of a semantic or text term, where a candidate does not say: a share of the best that could be, so that of
# many values that are all unlikely none is worth less than nothing said.
NEUTRAL = 0.5

# Agreement with a value that the taxonomy does not have.
_UNKNOWN = (np.nan, 0.0)
# Between two words of a shop for one family of products: `Sandal` and `Shoes`.
_SAME_FAMILY = 0.5

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
    measures: dict[str, tuple[Belief | None, Callable[[Belief], tuple[Doubles, float]]]] = {
        GENDER: (query.gender, lambda belief: _gender(candidates, belief, same)),
        CATEGORY: (query.category, lambda belief: _category(candidates, belief, query.type, same)),
        TYPE: (query.type, lambda belief: _type(candidates, belief, same)),
        COLOUR: (query.colour, lambda belief: _colour(candidates, belief, same)),
    }
    for name, (belief, measure_it) in measures.items():
        if belief is None:
            continue
        counted = name_of(name, belief, weights)
        if weights.get(counted):
            values, best = measure_it(belief)
            term = _term(counted, weights[counted], values, best)
            least = weights.get(name, term.weight)
            if belief.is_inferred:
                least = _BOTH_GUESSED * term.weight
            terms.append(_softened(term, _is_stated(candidates, name), least))
    if query.terms and weights.get(TEXT):
        terms.append(_term(TEXT, weights[TEXT], _text(candidates, query.terms), 1.0))
    return terms


def name_of(name: str, belief: Belief, weights: Mapping[str, float]) -> str:
    """The term that a belief about the query counts by, of the semantic term `name`."""
    if name == COLOUR and belief.source is Source.TEXT and SAID_COLOUR in weights:
        return SAID_COLOUR
    return KNOWN[name] if belief.is_certain and KNOWN[name] in weights else name


def _term(name: str, weight: float, values: Doubles, best: float) -> Term:
    absent = np.isnan(values)
    return Term(name, weight, np.where(absent, NEUTRAL * best, values), absent, best)


def _softened(term: Term, stated: Flags, weight: float) -> Term:
    """A term in which only what shops state of candidates weighs as much.

    A guess of a candidate, or nothing known of it, takes off no more than it does with that smaller `weight`.
    """
    ratio = np.where(stated, 1.0, min(1.0, weight / term.weight))
    return replace(term, values=term.best - ratio * (term.best - term.values))


def _is_stated(candidates: Candidates, name: str) -> Flags:
    stated = np.zeros(len(candidates), dtype=np.bool_)
    for label in _TOLD_BY[name]:
        column = candidates.labels.get(label)
        if column is not None:
            stated |= column.probabilities >= 1
    return stated


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


def _gender(candidates: Candidates, belief: Belief, same: Flags) -> tuple[Doubles, float]:
    agreement = _Agreement(belief, belief.values, _GENDER_AGREEMENT, GENDERS, gender_of)
    values = agreement.of(candidates.labels.get("gender"), len(candidates))
    return _sure_of_itself(values, agreement.best, belief, same)


def _category(
    candidates: Candidates, belief: Belief, type_: Belief | None, same: Flags
) -> tuple[Doubles, float]:
    column = candidates.labels.get("category")
    types = type_.values if type_ is not None and type_.is_in_shop_words else ()
    agreement = _Agreement(belief, belief.values + types, _FAMILY_AGREEMENT, FAMILIES, family_of)
    best = agreement.best
    # A type tells more than a category, but products of one shop's category are of one category.
    by_type = agreement.of(candidates.labels.get("type"), len(candidates))
    by_category = agreement.of(column, len(candidates))
    values = np.where(np.isnan(by_type), by_category, by_type)
    if belief.is_in_shop_words:
        own = agreement.same_words(column, len(candidates))
        if belief.values:
            # Of one family and yet of another category of this shop, which has a reason to part them.
            values = np.where(agreement.other_words(column, len(candidates)), _SAME_FAMILY * values, values)
        values = np.fmax(values, own)
    values, best = _by_votes(values, best, belief, column)
    return _sure_of_itself(values, best, belief, same)


def _type(candidates: Candidates, belief: Belief, same: Flags) -> tuple[Doubles, float]:
    column = candidates.labels.get("type")
    values = np.full(len(candidates), np.nan)
    if column is not None and belief.votes is None:
        agreements = [max(_type_agreement(own, value) for own in belief.values) for value in column.values]
        values = _expected(column, agreements, [0.0] * len(agreements))
    values, best = _by_votes(values, 1.0, belief, column)
    return _sure_of_itself(values, best, belief, same)


def _type_agreement(wanted: str, offered: str) -> float:
    if stems(wanted) == stems(offered):
        return 1.0
    kind, other = kind_of(wanted), kind_of(offered)
    if kind is None or other is None:
        return 0.0
    return 1.0 if kind == other else _SAME_FAMILY * float(kind.family == other.family)


def _colour(candidates: Candidates, belief: Belief, same: Flags) -> tuple[Doubles, float]:
    column = candidates.labels.get("colour")
    values = np.full(len(candidates), np.nan)
    if column is not None and belief.votes is None:
        agreements = [_colour_agreement(belief.values, value) for value in column.values]
        values = _expected(column, agreements, [NEUTRAL] * len(agreements))
    values, best = _by_votes(values, 1.0, belief, column)
    return _sure_of_itself(values, best, belief, same)


def _by_votes(values: Doubles, best: float, belief: Belief, column: Column | None) -> tuple[Doubles, float]:
    """The neighbours' votes for what each candidate's shop states, `values` for the others.

    For neighbours of whom nothing is stated, `values` speak of every candidate.
    """
    if belief.votes is None or column is None:
        return values, best
    silent = 1 - belief.heard
    votes = [belief.votes.get(value, 0.0) for value in column.values]
    # Code -1 reads the last entry.
    voted = np.array([*votes, np.nan])[column.codes] + silent * np.nan_to_num(values)
    stated = (column.codes >= 0) & (column.probabilities >= 1)
    told = best if belief.shares.any() else 0.0
    return np.where(stated, voted, values), max(told, max(belief.votes.values(), default=0.0) + silent * told)


def _colour_agreement(wanted: Sequence[str], offered: str) -> float:
    known = [found for colour in wanted if (found := colour_agreement(colour, offered)) is not None]
    return max(known, default=np.nan)


def _text(candidates: Candidates, words: Sequence[Word]) -> Doubles:
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
    return np.where(known, total / len(words), np.nan)


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

    def other_words(self, column: Column | None, count: int) -> Flags:
        """Where the shop states, bool [count], another value than the query's own."""
        if column is None:
            return np.zeros(count, dtype=np.bool_)
        other = np.array([stems(value) not in self._own_words for value in column.values] + [False])
        flags: Flags = other[column.codes] & (column.probabilities >= 1)
        return flags

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
    return (np.where(same, best, values) if belief.is_inferred else values), best

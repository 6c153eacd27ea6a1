"""Right and wrong answers to queries: what the weights of a profile are fitted on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from services.trainer.evaluation.bootstrap import Doubles
from services.trainer.evaluation.catalogue import Flags, Rows
from services.trainer.evaluation.ranking import Measured

FIRST = 100
"""Candidates of a query among which its answers are drawn: no weights lift later ones into the best ten."""

MOST = 20
"""Right answers to a query at most, so that the queries of a large category do not decide alone."""


@dataclass(frozen=True, slots=True)
class Answers:
    """How much of each term an answer has above the mean of its query's: float64 [answers, terms].

    `right` says which are, bool [answers], and `queries` to which query each is one, int64 [answers]. A term
    that tells nothing of a query is 0 for all its answers.
    """

    terms: tuple[str, ...]
    values: Doubles
    right: Flags
    queries: Rows

    def of(self, queries: Flags) -> Answers:
        """Those to some queries, bool [queries]."""
        chosen = queries[self.queries]
        return Answers(self.terms, self.values[chosen], self.right[chosen], self.queries[chosen])

    def telling(self) -> Answers:
        """With the terms alone in which any two answers to a query differ."""
        places = np.flatnonzero(self.values.any(axis=0))
        terms = tuple(self.terms[place] for place in places.tolist())
        return Answers(terms, self.values[:, places], self.right, self.queries)


def draw(terms: Sequence[str], candidates: Iterable[tuple[Measured, Flags]], *, seed: int) -> Answers:
    """As many right as wrong answers to each query, whose right candidates are bool [candidates].

    Wrong ones that are among the first are hard to tell from the right ones. A query with no right candidate
    among the first, or with no wrong one, has no answers.
    """
    random = np.random.default_rng(seed)
    values = [np.empty((0, len(terms)))]
    right: list[bool] = []
    queries: list[int] = []
    for query, (measured, flags) in enumerate(candidates):
        good, bad = np.flatnonzero(flags[:FIRST]), np.flatnonzero(~flags[:FIRST])
        count = min(len(good), len(bad), MOST)
        if not count:
            continue
        drawn = np.concatenate([random.choice(places, count, replace=False) for places in (good, bad)])
        nothing = np.zeros(len(flags))
        its = np.stack([measured.terms.get(term, nothing)[drawn] for term in terms], axis=1)
        values.append(its - its.mean(axis=0))
        right += [True] * count + [False] * count
        queries += [query] * (2 * count)
    return Answers(tuple(terms), np.concatenate(values), np.array(right, dtype=np.bool_), np.array(queries))

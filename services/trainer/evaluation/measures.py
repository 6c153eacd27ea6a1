"""How right the products are that a ranking answers queries with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from services.trainer.evaluation.bootstrap import Doubles
from services.trainer.evaluation.catalogue import (
    CATEGORY,
    COLOUR,
    GENDER,
    GROUP,
    MASTER,
    TYPE,
    Catalogue,
    Flags,
    Rows,
)
from services.trainer.evaluation.similarity import Order

Values = dict[str, Doubles]
"""By figure: float64 [queries], NaN for a query that does not count."""

AT = 10
FIRST = 100
"""Hits of which text figures, and dumps, know."""

GENDER_AND_CATEGORY = "gender_and_category_at_10"
_MEAN_SHARES = {"gender_at_10": GENDER, "category_at_10": CATEGORY, "colour_at_10": COLOUR}


class Judge:
    """Knows which products are right for a query: those that share its labels, in the shop's own words."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._codes = {
            label: catalogue.codes(label) for label in (GENDER, CATEGORY, TYPE, COLOUR, MASTER, GROUP)
        }

    def photos(self, order: Order, queries: Rows, excluded: Sequence[Rows]) -> Values:
        """The figures of a ranking for the photos of some products, int64 [q].

        `order` has a column for every product that is ranked, 100 at least where there are as many;
        `excluded` are the products, with its own, that were left out of each query's answer.

        - `..._at_10` and `precision_at_10_type`: right hits among the first ten, by 10 however few there are.
        - `recall_at_k_...`: whether any of the first k is right; of a group only for queries with another
          product of it to be found.
        - `map_at_r`: MAP@R by type (Musgrave et al. 2020, "A Metric Learning Reality Check"), R being the
          products of the query's type that are not excluded, and no more than are ranked.

        Queries do not count where the shop does not state the label, nor for MAP@R where R is 0.
        """
        right = {name: self._right(order, queries, name) for name in self._codes}
        values = {figure: _share(*right[label]) for figure, label in _MEAN_SHARES.items()}
        values["precision_at_10_type"] = _share(*right[TYPE])
        both = right[GENDER][0] & right[CATEGORY][0]
        values[GENDER_AND_CATEGORY] = _share(both, right[GENDER][1] & right[CATEGORY][1])
        for label, name in ((CATEGORY, "category"), (MASTER, "master")):
            for k in (1, 5):
                values[f"recall_at_{k}_{name}"] = _any(*right[label], k)
        others = self._others(queries, excluded, GROUP) > 0
        values["recall_at_1_group"] = _any(right[GROUP][0], right[GROUP][1] & others, 1)
        relevant = np.minimum(self._others(queries, excluded, TYPE), order.shape[1])
        values["map_at_r"] = map_at_r(right[TYPE][0], np.where(right[TYPE][1], relevant, 0))
        return values

    def texts(self, order: Order, queries: Rows) -> Values:
        """The figures of a ranking for the titles of some products, int64 [q]: each one's own is right.

        `mrr` is the mean of 1 / rank, 0 behind the first hundred.
        """
        own = order[:, :FIRST] == queries[:, None]
        ranks = own.argmax(axis=1) + 1
        reciprocal = np.where(own.any(axis=1), 1 / ranks, 0.0)
        return {
            "recall_at_1": own[:, :1].any(axis=1).astype(np.float64),
            "recall_at_10": own[:, :AT].any(axis=1).astype(np.float64),
            "mrr": reciprocal,
        }

    def _right(self, order: Order, queries: Rows, label: str) -> tuple[Flags, Flags]:
        """Which hits share the query's label, bool [q, depth], and which queries have one, bool [q]."""
        codes = self._codes[label]
        wanted = codes[queries]
        # The rank behind the last, -1, reads the entry that no query wants.
        hits = np.append(codes, -1)[order]
        return (hits == wanted[:, None]) & (wanted >= 0)[:, None], wanted >= 0

    def _others(self, queries: Rows, excluded: Sequence[Rows], label: str) -> Rows:
        """How many products that are not excluded share the query's label, int64 [q]."""
        codes = self._codes[label]
        totals = np.append(np.bincount(codes[codes >= 0], minlength=1), 0)[codes[queries]]
        out = [
            int((codes[places] == codes[query]).sum())
            for query, places in zip(queries, excluded, strict=True)
        ]
        others: Rows = np.where(codes[queries] >= 0, totals - np.array(out, dtype=np.int64), 0)
        return others


def map_at_r(right: Flags, relevant: Rows) -> Doubles:
    """Mean of the precision at each right rank up to R, by R: float64 [q], NaN where R is 0.

    `right` is bool [q, depth], `relevant` is R of each query, int64 [q], at most `depth`.
    """
    ranks = np.arange(1, right.shape[1] + 1)
    counted = right & (ranks <= relevant[:, None])
    precision = np.cumsum(counted, axis=1) / ranks
    total = (precision * counted).sum(axis=1)
    return np.where(relevant > 0, total / np.maximum(relevant, 1), np.nan)


def confusion(labels: Rows, order: Order, queries: Rows) -> Doubles:
    """Which labels the first ten hits have for queries of each label: float64 [n, n + 1], of each row 1.

    `labels` numbers the label of every product from 0 to n - 1, -1 where there is none. The last column is
    for hits without one, and for ranks that nothing took. Rows of labels that no query has are 0.
    """
    size = int(labels.max()) + 1
    hits = np.append(labels, -1)[order[:, :AT]]
    counts = np.zeros((size + 1, size + 1))
    np.add.at(counts, (np.broadcast_to(labels[queries][:, None], hits.shape), hits), 1)
    shares: Doubles = counts[:size] / np.maximum(counts[:size].sum(axis=1, keepdims=True), 1)
    return shares


def _share(right: Flags, counts: Flags) -> Doubles:
    return np.where(counts, right[:, :AT].sum(axis=1) / AT, np.nan)


def _any(right: Flags, counts: Flags, k: int) -> Doubles:
    return np.where(counts, right[:, :k].sum(axis=1) > 0, np.nan)

"""How far a model's word holds in a shop: what it said of products whose shop states the truth.

A model that was trained in one shop is less right in another, and often wrong in the same way. The candidates
tell: of each the shop's own label and what the model inferred are known, so what its word means here can be
counted, as a confusion matrix is (Saerens et al. 2002 adjust a classifier's outputs to new priors likewise).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from services.ranker.candidates import Candidates, Column, Doubles, Integers

INFERRED = "inferred."
"""Before the name of a label: the column of what was inferred, whether or not the shop states it too."""

# As if so many products more had been told rightly: a handful of candidates does not overrule a model.
_BENEFIT_OF_DOUBT = 10.0


def corrected(
    shares: Doubles,
    task: str,
    names: tuple[str, ...],
    label_of: Callable[[str], str | None],
    candidates: Candidates,
) -> Doubles:
    """A model's probabilities of the labels `names`, float64 [n], as they hold among the candidates.

    They stay what they are where no candidate has both a stated and an inferred label of the task.
    """
    stated, inferred = candidates.labels.get(task), candidates.labels.get(INFERRED + task)
    if stated is None or inferred is None:
        return shares
    truth, told = _labels(stated, names, label_of), _labels(inferred, names, label_of)
    both = (truth >= 0) & (told >= 0) & (stated.probabilities >= 1)
    size = len(names)
    counts = np.bincount(told[both] * size + truth[both], minlength=size * size).reshape(size, size)
    meant = counts + _BENEFIT_OF_DOUBT * np.eye(size)
    found: Doubles = shares @ (meant / meant.sum(axis=1, keepdims=True))
    return found


def _labels(column: Column, names: tuple[str, ...], label_of: Callable[[str], str | None]) -> Integers:
    """The place of each candidate's label among `names`, int64 [n], -1 for none."""
    places = [names.index(label) if (label := label_of(value)) in names else -1 for value in column.values]
    # Code -1 reads the last entry.
    return np.array([*places, -1], dtype=np.int64)[column.codes]

"""What the products that look most like a photo are, by the words of the shop: a vote of the neighbours.

Each candidate votes for its own label with the weight exp(cosine / temperature): kernel classification
(Nadaraya 1964, Watson 1964) on the cosines that are there anyway. It needs no training, knows every shop's
words, and follows the catalogue as it changes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from services.ranker.candidates import Candidates, Column, Doubles
from services.ranker.words import Stems, stems

COLOUR_SPACE = "colour"
"""The space that tells colours, and nothing of what a product is."""

# Fitted on validation photos: a neighbour that is as much farther away counts less by a factor of e.
_TEMPERATURE = 0.025
_COLOUR_TEMPERATURE = 0.05


def by_looks(candidates: Candidates, visual: Mapping[str, float]) -> Doubles | None:
    """The weight of each candidate's vote on what the query's photo shows, float64 [n]; None without a space.

    `visual` is the weight of each space; that of colours takes no part.
    """
    return _weights(
        candidates, {name: share for name, share in visual.items() if name != COLOUR_SPACE}, _TEMPERATURE
    )


def by_colour(candidates: Candidates) -> Doubles | None:
    """The weight of each candidate's vote on the photo's colour, float64 [n]; None without that space."""
    return _weights(candidates, {COLOUR_SPACE: 1.0}, _COLOUR_TEMPERATURE)


def count(column: Column | None, weights: Doubles | None) -> Doubles | None:
    """The share of all votes that each value of a column gets, float64 [n_values]; None where nobody votes.

    Only what the shop states is a vote: what was inferred of a candidate is no evidence for others. Those of
    whom nothing is stated are silent, so the shares add up to less than 1.
    """
    if column is None or weights is None or not column.values:
        return None
    voting = np.where(column.probabilities >= 1, weights, 0.0)
    # Code -1, nothing known, is counted in the last place, which is then cut off.
    shares = np.bincount(column.codes % (len(column.values) + 1), voting, len(column.values) + 1)[:-1]
    return shares / weights.sum() if shares.any() else None


def pooled(column: Column, shares: Doubles) -> Doubles:
    """The shares of a column's values, float64 [n_values], each with those of its other spellings.

    `T-Shirts` and `Tshirts` are one word, so both get the sum of both, and all together may exceed 1.
    """
    numbers: dict[Stems, int] = {}
    words = [numbers.setdefault(stems(value), len(numbers)) for value in column.values]
    totals = np.zeros(len(numbers))
    np.add.at(totals, words, shares)
    return totals[words]


def _weights(candidates: Candidates, visual: Mapping[str, float], temperature: float) -> Doubles | None:
    total = np.zeros(len(candidates))
    present = 0.0
    for space in sorted(candidates.spaces, key=lambda space: space.name):
        share = visual.get(space.name, 0.0)
        if share:
            total += share * np.where(np.isnan(space.cosines), space.neutral, space.cosines)
            present += share
    if not present or not len(candidates):
        return None
    weights: Doubles = np.exp((total - total.max()) / (present * temperature))
    return weights

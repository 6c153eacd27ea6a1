"""How far below the best possible score a wanted similarity reaches."""

from __future__ import annotations

import math

from services.gateway.similarity import QueryKind, similarity

# No hit is farther below: the weights of a profile add up to less.
_FARTHEST = 1e6


def most_shortfall(wanted: float, kind: QueryKind, profile: str) -> float:
    """The greatest shortfall whose similarity is at least `wanted`, above 0 to 100.

    Minus infinity when none is. Similarity is monotone in the shortfall, so halving the interval finds the
    very number where it changes, whatever the curve.
    """
    low, high = 0.0, _FARTHEST
    if similarity(low, kind, profile) < wanted:
        return -math.inf
    while low < (middle := (low + high) / 2) < high:
        if similarity(middle, kind, profile) < wanted:
            high = middle
        else:
            low = middle
    return low

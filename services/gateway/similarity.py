"""Similarity from 0 to 100: what a score means to people.

Raw scores cannot be shown: a text and its photo have a cosine of .3, two photos of one shoe .9, two unrelated
photos .5. The share of the best possible score that a hit reaches is mapped piecewise linearly, by kind of
query and profile. The mapping is monotone, so similarity never contradicts the order of scores.
"""

from __future__ import annotations

from enum import Enum

import numpy as np

from vitrine.v1 import search_pb2

HIGH = 70.0
MEDIUM = 40.0


class QueryKind(Enum):
    """What kind of query a score belongs to; similarities compare within one kind."""

    IMAGE = "image"
    TEXT = "text"


Knots = tuple[tuple[float, float], ...]
"""Pairs of (share of the best possible score, similarity), both ascending."""

# The same photo, encoded anew or embedded in another batch, reaches .97 of the best score and more.
_SAME_PHOTO = ((0.97, 99.0), (1.0, 100.0))

_KNOTS: dict[tuple[QueryKind, str], Knots] = {
    (QueryKind.IMAGE, "similar"): (
        (0.0, 0.0),
        (0.35, 10.0),
        (0.55, 40.0),
        (0.75, 70.0),
        (0.9, 92.0),
        *_SAME_PHOTO,
    ),
    # Photos of unrelated products have a cosine of about .5 in this space.
    (QueryKind.IMAGE, "resnet50"): (
        (0.0, 0.0),
        (0.5, 10.0),
        (0.68, 40.0),
        (0.8, 70.0),
        (0.92, 93.0),
        *_SAME_PHOTO,
    ),
    (QueryKind.IMAGE, "clip"): (
        (0.0, 0.0),
        (0.35, 10.0),
        (0.6, 40.0),
        (0.78, 70.0),
        (0.92, 93.0),
        *_SAME_PHOTO,
    ),
    (QueryKind.IMAGE, "triplet"): (
        (0.0, 0.0),
        (0.4, 10.0),
        (0.65, 40.0),
        (0.82, 70.0),
        (0.93, 93.0),
        *_SAME_PHOTO,
    ),
    (QueryKind.TEXT, "similar"): (
        (0.0, 0.0),
        (0.12, 10.0),
        (0.28, 40.0),
        (0.45, 70.0),
        (0.75, 95.0),
        (1.0, 100.0),
    ),
    (QueryKind.TEXT, "clip"): (
        (0.0, 0.0),
        (0.08, 10.0),
        (0.2, 40.0),
        (0.32, 70.0),
        (0.6, 95.0),
        (1.0, 100.0),
    ),
}
_DEFAULT_PROFILE = "similar"


def similarity(score: float, best_possible_score: float, kind: QueryKind, profile: str) -> float:
    """0 to 100, rounded to two digits; monotone in `score`."""
    share = score / best_possible_score if best_possible_score > 0 else 0.0
    knots = _KNOTS.get((kind, profile), _KNOTS[kind, _DEFAULT_PROFILE])
    return round(float(np.interp(share, [x for x, _ in knots], [y for _, y in knots])), 2)


def band(value: float) -> search_pb2.Band.ValueType:
    """A similarity in words."""
    if value >= HIGH:
        return search_pb2.BAND_HIGH
    return search_pb2.BAND_MEDIUM if value >= MEDIUM else search_pb2.BAND_LOW

"""Similarity from 0 to 100: what a score means to people.

Raw scores cannot be shown: a text and its photo have a cosine of .3, two photos of one shoe .9, two unrelated
photos .5, and what is known of a query adds whole numbers. What counts is how much a hit lacks to the best
possible score, its shortfall: all spaces together weigh 1, so that it is on the scale of a cosine whatever is
known. It is mapped piecewise linearly, by kind of query and profile. The mapping is monotone, so similarity
never contradicts the order of scores.
"""

from __future__ import annotations

from bisect import bisect_right
from enum import Enum

from vitrine.v1 import search_pb2

HIGH = 70.0
MEDIUM = 40.0


class QueryKind(Enum):
    """What kind of query a score belongs to; similarities compare within one kind."""

    IMAGE = "image"
    TEXT = "text"


Knots = tuple[tuple[float, float], ...]
"""Pairs of (shortfall, similarity), ascending and descending."""

# The same photo, encoded anew or embedded in another batch, lacks 0.03 at most.
_SAME_PHOTO = ((0.0, 100.0), (0.03, 99.0))

# Fitted on 1,527 products that no head was trained on, with the shipped models: of hits with a similarity of
# 70 seven in ten are of the query's type and for the same people, of those with 40 four. What a space alone
# knows nothing of (`colour`) is set by eye.
_KNOTS: dict[tuple[QueryKind, str], Knots] = {
    (QueryKind.IMAGE, "similar"): (
        *_SAME_PHOTO,
        (0.15, 92.0),
        (0.30, 80.0),
        (0.46, 70.0),
        (0.63, 40.0),
        (0.72, 20.0),
        (0.80, 8.0),
        (1.2, 0.0),
    ),
    (QueryKind.IMAGE, "same_style"): (
        *_SAME_PHOTO,
        (0.15, 92.0),
        (0.32, 78.0),
        (0.36, 70.0),
        (0.465, 40.0),
        (0.53, 20.0),
        (0.62, 8.0),
        (1.1, 0.0),
    ),
    (QueryKind.IMAGE, "resnet50"): (
        *_SAME_PHOTO,
        (0.05, 90.0),
        (0.08, 70.0),
        (0.145, 40.0),
        (0.27, 20.0),
        (0.40, 8.0),
        (0.6, 0.0),
    ),
    (QueryKind.IMAGE, "clip"): (
        *_SAME_PHOTO,
        (0.10, 90.0),
        (0.25, 70.0),
        (0.53, 40.0),
        (0.65, 20.0),
        (0.72, 8.0),
        (1.0, 0.0),
    ),
    (QueryKind.IMAGE, "triplet"): (
        *_SAME_PHOTO,
        (0.05, 85.0),
        (0.08, 70.0),
        (0.28, 40.0),
        (0.38, 20.0),
        (0.52, 8.0),
        (0.8, 0.0),
    ),
    (QueryKind.IMAGE, "colour"): (
        *_SAME_PHOTO,
        (0.10, 85.0),
        (0.20, 70.0),
        (0.40, 40.0),
        (0.70, 10.0),
        (1.0, 0.0),
    ),
    (QueryKind.TEXT, "similar"): (
        (0.0, 100.0),
        (0.50, 95.0),
        (0.66, 80.0),
        (0.78, 70.0),
        (0.92, 40.0),
        (1.035, 20.0),
        (1.1, 8.0),
        (2.2, 0.0),
    ),
    (QueryKind.TEXT, "same_style"): (
        (0.0, 100.0),
        (0.485, 95.0),
        (0.63, 80.0),
        (0.73, 70.0),
        (0.853, 40.0),
        (0.925, 20.0),
        (0.98, 8.0),
        (2.2, 0.0),
    ),
    (QueryKind.TEXT, "clip"): (
        (0.0, 100.0),
        (0.31, 95.0),
        (0.41, 80.0),
        (0.46, 70.0),
        (0.643, 40.0),
        (0.707, 20.0),
        (0.74, 8.0),
        (1.0, 0.0),
    ),
}
_DEFAULT_PROFILE = "similar"


def similarity(shortfall: float, kind: QueryKind, profile: str) -> float:
    """0 to 100, rounded to two digits, of what a score lacks to the best possible one."""
    knots = _KNOTS.get((kind, profile), _KNOTS[kind, _DEFAULT_PROFILE])
    place = bisect_right(knots, shortfall, key=lambda knot: knot[0])
    if place == 0:
        return knots[0][1]
    if place == len(knots):
        return knots[-1][1]
    (left, high), (right, low) = knots[place - 1], knots[place]
    return round(high - (high - low) * (shortfall - left) / (right - left), 2)


def band(value: float) -> search_pb2.Band.ValueType:
    """A similarity in words."""
    if value >= HIGH:
        return search_pb2.BAND_HIGH
    return search_pb2.BAND_MEDIUM if value >= MEDIUM else search_pb2.BAND_LOW

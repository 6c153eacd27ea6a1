"""Small shops written by hand, for the tests of evaluations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from services.trainer.evaluation.catalogue import Catalogue, Product
from services.trainer.evaluation.measurement import Evaluation

Evaluate = Callable[..., Evaluation]


def shop(*labels: Mapping[str, str], photos: Sequence[int] = ()) -> Catalogue:
    """Products `p00`, `p01`, ... with these labels, and one photo each where `photos` does not say."""
    counts = photos or [1] * len(labels)
    return Catalogue(
        tuple(
            Product(
                f"p{number:02}",
                f"title {number}",
                its,
                tuple(Path(f"p{number:02}-{view}.jpg") for view in range(counts[number])),
            )
            for number, its in enumerate(labels)
        )
    )

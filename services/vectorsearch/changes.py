"""What can happen to a product of a shard, and to a catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.vectorsearch.columns import Facts


@dataclass(frozen=True, slots=True)
class Embedding:
    """A vector, float32 [d], and the digest of the model that made it."""

    model_digest: str
    vector: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo and its vectors by space."""

    photo_id: str
    embeddings: Mapping[str, Embedding]


@dataclass(frozen=True, slots=True)
class Written:
    """A product was written whole. Its vectors are of one generation; what is known of it holds in all."""

    catalog: str
    product_id: str
    revision: int
    generation: str
    photos: tuple[Photo, ...]
    facts: Facts


@dataclass(frozen=True, slots=True)
class Described:
    """Only what is known of a product changed; its vectors stay."""

    catalog: str
    product_id: str
    revision: int
    facts: Facts


@dataclass(frozen=True, slots=True)
class Deleted:
    """A product was deleted."""

    catalog: str
    product_id: str
    revision: int


@dataclass(frozen=True, slots=True)
class Retained:
    """A catalogue has these generations and no others any more."""

    catalog: str
    revision: int
    generations: frozenset[str]


Change = Written | Described | Deleted | Retained

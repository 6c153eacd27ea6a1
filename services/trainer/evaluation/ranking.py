"""What is measured of the ranker: the real one, on the candidates that shards would hand to it.

All that an evaluation knows of the ranker and of profiles is here.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from services.embedder.towers import Space
from services.mesh import profiles as weights_of
from services.mesh.errors import FailedPrecondition
from services.ranker import query as knowledge
from services.ranker import scoring, taxonomy
from services.ranker.candidates import Candidates, Column, Doubles
from services.ranker.candidates import Space as SpaceColumn
from services.ranker.photos import SEMANTIC_SPACE, Photo
from services.ranker.query import KnownLabel
from services.ranker.semantics import Library, Semantics
from services.ranker.terms import VISUAL
from services.ranker.trust import INFERRED
from services.trainer.evaluation.catalogue import STATED, Catalogue, Rows
from services.trainer.evaluation.embedding import Vectors
from services.trainer.evaluation.similarity import best_photos, nearest

WINDOW = 1_000
"""Candidates of a ranking, by visual score alone."""

SAME_PHOTO_SPACE, SAME_PHOTO_COSINE = "resnet50", knowledge.SAME_PHOTO_COSINE
"""From this cosine on the ranker takes a candidate for the query's own photo, and its labels for known."""

NO_LABELS = "no labels are inferred: "

# A candidate that lacks a vector is taken to be this similar, by kind of query.
_NEUTRAL_TO_PHOTO, _NEUTRAL_TO_TEXT = 0.4, 0.0
_CLASSIFIED = 256
_FOOTWEAR = "footwear"
_ACCESSORIES = frozenset(
    {
        *("bags", "watches", "jewellery", "eyewear", "belts", "headwear", "wallets"),
        "scarves, ties & gloves",
    }
)


@dataclass(frozen=True, slots=True)
class Profile:
    """A named set of weights, by term."""

    name: str
    weights: Mapping[str, float]

    def visual(self, spaces: Iterable[str]) -> dict[str, float]:
        """The weights of those of some spaces that it compares."""
        return {space: weight for space in spaces if (weight := self.weights.get(VISUAL + space, 0.0))}


@dataclass(frozen=True, slots=True)
class Query:
    """What is known of a query: its photo's vectors, float32 [dim] by space, or its text; what is stated."""

    vectors: Mapping[str, Vectors] = field(default_factory=dict)
    text: str = ""
    stated: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Window:
    """The candidates of one query, best first: int64 [n], and their best photos' cosines, float64 [n]."""

    products: Rows
    spaces: tuple[SpaceColumn, ...]


@dataclass(frozen=True, slots=True)
class Ranked:
    """Products in the ranker's order, int64 [n], those it dropped, int64 [m], and how long the order took."""

    products: Rows
    dropped: Rows
    took_s: float


@dataclass(frozen=True, slots=True)
class Measured:
    """Products in the ranker's order, int64 [n], and the values of each term, float64 [n] by its name."""

    products: Rows
    terms: Mapping[str, Doubles]


@dataclass(frozen=True, slots=True)
class Hit:
    """A ranked product with its score and the contribution of each term to it."""

    product: int
    score: float
    terms: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Explained:
    """What was believed of a query (label, value, probability), and its first hits."""

    believed: tuple[tuple[str, str, float], ...]
    hits: tuple[Hit, ...]


def profiles(spaces: Sequence[str]) -> tuple[Profile, ...]:
    """The profiles that a catalogue with these spaces is searched with, but for those of one space alone."""
    found = weights_of.profiles(spaces).items()
    return tuple(Profile(name, weights) for name, weights in found if name not in spaces)


def is_footwear(category: str, kind: str) -> bool:
    """Whether a shop's words for a product's category and type mean shoes."""
    return _family(category, kind) == _FOOTWEAR


def is_accessory(category: str, kind: str) -> bool:
    """Whether a shop's words for a product's category and type mean what is worn beside clothes and shoes."""
    return _family(category, kind) in _ACCESSORIES


def is_for_men_or_women(gender: str) -> bool:
    """Whether a shop's word for whom a product is made means grown men or women, and not both."""
    return taxonomy.gender_of(gender) in {"Men", "Women"}


class Ranker:
    """The ranker's core over a catalogue.

    `firsts` are the vectors of every product's first photo, float32 [products, dim] by space, from which
    labels are inferred as when a product is written. `degraded` says why none are.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        firsts: Mapping[str, Vectors],
        spaces: Sequence[Space],
        models_dir: Path,
    ) -> None:
        self._ids = [product.product_id for product in catalogue.products]
        self._digests = {space.name: space.digest for space in spaces}
        self._semantics, self.degraded = _semantics(spaces, models_dir)
        inferred = self._inferred(firsts)
        stated = {name: [product.labels.get(name) for product in catalogue.products] for name in STATED}
        unstated: list[str | None] = [None] * len(self._ids)
        guessed = {INFERRED + name: _column(unstated, labels) for name, labels in inferred.items()}
        self._columns = {
            False: {name: _column(stated[name], inferred.get(name)) for name in STATED} | guessed,
            True: {name: _column(unstated, inferred.get(name)) for name in STATED} | guessed,
        }

    def windows(
        self,
        profile: Profile,
        cosines: Mapping[str, Vectors],
        first_photos: Rows,
        excluded: Sequence[Rows],
        *,
        of_texts: bool = False,
    ) -> list[Window]:
        """The candidates of queries by their cosines with all photos, float32 [q, photos] by space."""
        weights = profile.visual(cosines)
        total = sum(weights.values())
        visual = sum(np.float32(weight / total) * cosines[space] for space, weight in weights.items())
        assert isinstance(visual, np.ndarray)
        scores, photos = best_photos(visual, first_photos)
        neutral = _NEUTRAL_TO_TEXT if of_texts else _NEUTRAL_TO_PHOTO
        windows = []
        for row, order in enumerate(nearest(scores, excluded, WINDOW)):
            products = order[order >= 0].astype(np.int64)
            theirs = photos[row, products]
            columns = (
                SpaceColumn(space, neutral, cosines[space][row, theirs].astype(np.float64))
                for space in weights
            )
            windows.append(Window(products, tuple(columns)))
        return windows

    def rank(self, profile: Profile, query: Query, window: Window, *, masked: bool) -> Ranked:
        """The candidates in the ranker's order; `masked` hides what the shop states of them."""
        candidates = self._candidates(window, masked=masked)
        believed = self._believed(profile, query, candidates)
        start_s = time.perf_counter()
        ranking = scoring.rank(candidates, believed, profile.weights, limit=WINDOW)
        took_s = time.perf_counter() - start_s
        order = np.array(ranking.order, dtype=np.int64)
        return Ranked(window.products[order], window.products[ranking.dropped.places], took_s)

    def measure(self, profile: Profile, query: Query, window: Window) -> Measured:
        """What is measured of the candidates that are not dropped, by the terms that tell of this query."""
        candidates = self._candidates(window, masked=False)
        believed = self._believed(profile, query, candidates)
        ranking = scoring.rank(candidates, believed, profile.weights, limit=WINDOW)
        order = np.array(ranking.order, dtype=np.int64)
        return Measured(window.products[order], {term.name: term.values[order] for term in ranking.terms})

    def explain(
        self, profile: Profile, query: Query, window: Window, *, masked: bool, limit: int
    ) -> Explained:
        """Why the first `limit` candidates come first."""
        candidates = self._candidates(window, masked=masked)
        believed = self._believed(profile, query, candidates)
        ranking = scoring.rank(candidates, believed, profile.weights, limit=WINDOW)
        hits = [
            Hit(
                int(window.products[place]),
                float(ranking.scores[place]),
                {term.name: term.weight * float(term.values[place]) for term in ranking.terms},
            )
            for place in ranking.order[:limit]
        ]
        labels = ((label.name, label.value, label.probability) for label in believed.labels())
        return Explained(tuple(labels), tuple(hits))

    def _believed(self, profile: Profile, query: Query, candidates: Candidates) -> knowledge.Query:
        labels = [KnownLabel(name, value, 1.0) for name, value in query.stated.items()]
        photo = self._photo(query.vectors)

        def infer(task: str) -> Mapping[str, float]:
            if self._semantics is None or not profile.weights.get(f"semantic.{task}"):
                return {}
            return self._semantics.distribution(task, photo, field="query")

        near = None
        if photo.vectors:
            near = knowledge.neighbours(candidates, profile.visual(photo.vectors))
        return knowledge.believe(query.text, labels, candidates, infer if photo.vectors else _unseen, near)

    def _candidates(self, window: Window, *, masked: bool) -> Candidates:
        places = window.products
        return Candidates(
            [self._ids[place] for place in places.tolist()],
            window.spaces,
            {
                name: Column(column.values, column.codes[places], column.probabilities[places])
                for name, column in self._columns[masked].items()
                if column.values
            },
        )

    def _inferred(self, firsts: Mapping[str, Vectors]) -> dict[str, list[tuple[str, float]]]:
        """The most probable label of each task with its probability, for every product."""
        if self._semantics is None:
            return {}
        photos = [
            self._photo({space: vectors[place] for space, vectors in firsts.items()})
            for place in range(len(self._ids))
        ]
        found = [
            labels
            for start in range(0, len(photos), _CLASSIFIED)
            for labels in self._semantics.classify(photos[start : start + _CLASSIFIED], field="photos")
        ]
        return {name: [labels[name] for labels in found] for name in self._semantics.tasks}

    def _photo(self, vectors: Mapping[str, Vectors]) -> Photo:
        return Photo(vectors, {space: self._digests[space] for space in vectors})


def _unseen(task: str) -> Mapping[str, float]:
    """Nothing can be told of a query without a photo."""
    del task
    return {}


def _semantics(spaces: Sequence[Space], models_dir: Path) -> tuple[Semantics | None, str]:
    digest = next((space.digest for space in spaces if space.name == SEMANTIC_SPACE), None)
    if digest is None:
        return None, f"{NO_LABELS}there is no space {SEMANTIC_SPACE}"
    try:
        return Library(models_dir).of(digest, field="models"), ""
    except FailedPrecondition as error:
        return None, f"{NO_LABELS}{error.message}"


def _column(stated: Sequence[str | None], inferred: Sequence[tuple[str, float]] | None) -> Column:
    """A label of all products: what the shop states, with probability 1, else what was inferred."""
    pairs: list[tuple[str, float] | None] = [
        (word, 1.0) if word is not None else (inferred[place] if inferred else None)
        for place, word in enumerate(stated)
    ]
    values = tuple(dict.fromkeys(pair[0] for pair in pairs if pair is not None))
    place_of = {value: code for code, value in enumerate(values)}
    return Column(
        values,
        np.array([-1 if pair is None else place_of[pair[0]] for pair in pairs], dtype=np.int64),
        np.array([0.0 if pair is None else pair[1] for pair in pairs]),
    )


def _family(category: str, kind: str) -> str | None:
    return taxonomy.family_of(kind) or taxonomy.family_of(category)

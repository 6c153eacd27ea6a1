"""What is known of a query: from its text, its labels, a candidate that is the same photo, its vector."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from services.ranker.candidates import Candidates, Doubles, Flags
from services.ranker.taxonomy import FAMILIES, GENDERS, family_of, gender_of, joint_gender
from services.ranker.text import Term, understand

# Two renditions of one photo are at least this close in `resnet50`; two photos of one product are hardly
# ever.
SAME_PHOTO_COSINE = 0.995
_SAME_PHOTO_SPACE = "resnet50"

# The probability of each label of a task (`gender`, `category`) for the query's photo; empty when it cannot
# be told.
Infer = Callable[[str], Mapping[str, float]]


class Source(IntEnum):
    """Where knowledge comes from, the most trusted first.

    A text is what the shopper asks for now, so `this, but for women` overrides what the product's own labels
    say.
    """

    TEXT = 0
    STATED = 1
    SAME_PHOTO = 2
    INFERRED = 3


@dataclass(frozen=True, slots=True)
class KnownLabel:
    """A label of the query; probability 1 where a shopper or a shop states it."""

    name: str
    value: str
    probability: float


@dataclass(frozen=True, slots=True)
class Belief:
    """What is believed of one property of the query.

    `shares` are the probabilities, float64 [n_labels], of the taxonomy's labels: all 0 where it does not have
    the value, and empty for colours. `values` are the words it was said in, with the `probability` of the
    first.
    """

    source: Source
    shares: Doubles
    values: tuple[str, ...]
    probability: float = 1.0

    @property
    def is_certain(self) -> bool:
        """Whether the shopper or the shop says so themselves."""
        return self.source in {Source.TEXT, Source.STATED}

    @property
    def is_in_shop_words(self) -> bool:
        """Whether a candidate with the very same value agrees, whatever the taxonomy makes of it."""
        return self.source in {Source.STATED, Source.SAME_PHOTO}


@dataclass(frozen=True, slots=True)
class Query:
    """All that is known of a query; None where nothing is.

    `types` are the shop's words for its kind of product, `terms` the content words of its text.
    """

    gender: Belief | None = None
    category: Belief | None = None
    colour: Belief | None = None
    types: tuple[str, ...] = ()
    terms: tuple[Term, ...] = ()

    def labels(self) -> list[KnownLabel]:
        """What was understood, for people."""
        beliefs = {"gender": self.gender, "category": self.category, "colour": self.colour}
        found = [
            KnownLabel(name, value, belief.probability)
            for name, belief in beliefs.items()
            if belief is not None
            for value in belief.values
        ]
        return found + [KnownLabel("type", value, 1.0) for value in self.types]


def believe(text: str, labels: Sequence[KnownLabel], candidates: Candidates, infer: Infer) -> Query:
    """What is known of a query, each property from its most trusted source.

    `labels` come with the query: those of probability 1 are stated, others are a model's. `infer` is asked
    only for what nothing else tells.
    """
    said = understand(text)
    stated = _by_name([label for label in labels if label.probability >= 1])
    recognised = _by_name(_labels_of_same_photo(candidates))
    guessed = {label.name: label for label in reversed(labels) if label.probability < 1}

    gender = category = colour = None
    types: tuple[str, ...] = ()
    if said.gender:
        gender = Belief(Source.TEXT, _one_hot(GENDERS, said.gender), (said.gender,))
    if said.families:
        shares = np.sum([_one_hot(FAMILIES, family) for family in said.families], axis=0) / len(said.families)
        category = Belief(Source.TEXT, shares, said.families, 1 / len(said.families))
    if said.colours:
        colour = Belief(Source.TEXT, np.empty(0), said.colours)
    for source, known in ((Source.STATED, stated), (Source.SAME_PHOTO, recognised)):
        if gender is None and "gender" in known:
            group = joint_gender({found for value in known["gender"] if (found := gender_of(value))})
            gender = Belief(source, _one_hot(GENDERS, group), known["gender"])
        if category is None and ("category" in known or "type" in known):
            types = known.get("type", ())
            values = known.get("category", ())
            family = next((found for value in types + values if (found := family_of(value))), None)
            category = Belief(source, _one_hot(FAMILIES, family), values)
        if colour is None and "colour" in known:
            colour = Belief(source, np.empty(0), known["colour"])
    return Query(
        gender=gender or _inferred("gender", GENDERS, guessed.get("gender"), infer),
        category=category or _inferred("category", FAMILIES, guessed.get("category"), infer),
        colour=colour,
        types=types,
        terms=said.terms,
    )


def shows_same_photo(candidates: Candidates) -> Flags:
    """Which candidates, bool [n], show the query's own photo."""
    for space in candidates.spaces:
        if space.name == _SAME_PHOTO_SPACE:
            # A missing vector is NaN, and NaN compares as False.
            same: Flags = space.cosines >= SAME_PHOTO_COSINE
            return same
    return np.zeros(len(candidates), dtype=np.bool_)


def _labels_of_same_photo(candidates: Candidates) -> list[KnownLabel]:
    same = np.flatnonzero(shows_same_photo(candidates))
    if not len(same):
        return []
    cosines = next(space.cosines for space in candidates.spaces if space.name == _SAME_PHOTO_SPACE)
    # Of several the closest, and of equally close ones the first by id: the order of the columns decides
    # nothing.
    best = min(same.tolist(), key=lambda index: (-cosines[index], candidates.product_ids[index]))
    return [
        KnownLabel(name, value, 1.0)
        for name, column in candidates.labels.items()
        if (value := column.value_at(best)) is not None and column.probabilities[best] >= 1
    ]


def _by_name(labels: Sequence[KnownLabel]) -> dict[str, tuple[str, ...]]:
    values: dict[str, tuple[str, ...]] = {}
    for label in labels:
        values[label.name] = (*values.get(label.name, ()), label.value)
    return values


def _inferred(task: str, names: tuple[str, ...], guess: KnownLabel | None, infer: Infer) -> Belief | None:
    if guess is not None and guess.value in names:
        shares = np.full(len(names), (1 - guess.probability) / (len(names) - 1))
        shares[names.index(guess.value)] = guess.probability
        return Belief(Source.INFERRED, shares, (guess.value,), guess.probability)
    distribution = infer(task)
    shares = np.array([distribution.get(name, 0.0) for name in names])
    if not shares.any():
        return None
    shares /= shares.sum()
    best = int(shares.argmax())
    return Belief(Source.INFERRED, shares, (names[best],), float(shares[best]))


def _one_hot(names: tuple[str, ...], name: str | None) -> Doubles:
    return np.array([float(candidate == name) for candidate in names])

"""What is known of a query: from its text, its labels, a candidate that is the same photo, its vector."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from services.ranker import trust, votes
from services.ranker.candidates import Candidates, Column, Doubles, Flags
from services.ranker.semantics import MAX_PROBABILITY
from services.ranker.taxonomy import FAMILIES, GENDERS, family_of, gender_of, joint_gender
from services.ranker.text import Term, understand

# Two renditions of one photo are at least this close in `resnet50`; two photos of one product are hardly
# ever.
SAME_PHOTO_COSINE = 0.995
_SAME_PHOTO_SPACE = "resnet50"

# How much the neighbours' votes count against a model that was trained to tell, in its logarithms.
_VOTES_SHARE = 0.3
# No label is impossible.
_LEAST_SHARE = 1e-3
# What fewer of the neighbours say moves no score that anybody could see, and would go from page to page.
_LEAST_VOTE = 1e-4

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
    # The neighbours alone, where no model has a say.
    VOTED = 4


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
    the value, and empty for colours and types. `values` are the words it was said in, with the `probability`
    of the first. `votes` are the probabilities of values that the candidates' column has, where their
    neighbourhood tells, 0 for values that are not among them; several spellings of one word have that of the
    word. `heard` is the share of the neighbourhood of which anything is stated.
    """

    source: Source
    shares: Doubles
    values: tuple[str, ...]
    probability: float = 1.0
    votes: Mapping[str, float] | None = None
    heard: float = 1.0

    @property
    def is_certain(self) -> bool:
        """Whether the shopper or the shop says so themselves."""
        return self.source in {Source.TEXT, Source.STATED}

    @property
    def is_in_shop_words(self) -> bool:
        """Whether a candidate with the very same value agrees, whatever the taxonomy makes of it."""
        return self.source in {Source.STATED, Source.SAME_PHOTO}

    @property
    def is_inferred(self) -> bool:
        """Whether nobody says so of this very photo."""
        return self.source in {Source.INFERRED, Source.VOTED}


@dataclass(frozen=True, slots=True)
class Query:
    """All that is known of a query; None where nothing is. `terms` are the content words of its text."""

    gender: Belief | None = None
    category: Belief | None = None
    type: Belief | None = None
    colour: Belief | None = None
    terms: tuple[Term, ...] = ()

    def labels(self) -> list[KnownLabel]:
        """What was understood, for people."""
        beliefs = {
            "gender": self.gender,
            "category": self.category,
            "type": self.type,
            "colour": self.colour,
        }
        return [
            # Probability 1 is kept for what is stated, even where all neighbours are of one mind.
            KnownLabel(
                name,
                value,
                min(belief.probability, MAX_PROBABILITY) if belief.is_inferred else belief.probability,
            )
            for name, belief in beliefs.items()
            if belief is not None
            for value in belief.values
        ]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """How much each candidate's own labels tell of the query's photo, float64 [n]; None where nothing.

    `looks` weigh what it is and whom it is for, `colour` its colour.
    """

    looks: Doubles | None = None
    colour: Doubles | None = None


def neighbours(candidates: Candidates, visual: Mapping[str, float]) -> Neighbours:
    """The candidates as the neighbours of a photo, by the weight of each space."""
    return Neighbours(votes.by_looks(candidates, visual), votes.by_colour(candidates))


def believe(
    text: str,
    labels: Sequence[KnownLabel],
    candidates: Candidates,
    infer: Infer,
    near: Neighbours | None = None,
) -> Query:
    """What is known of a query, each property from its most trusted source.

    `labels` come with the query: those of probability 1 are stated, others are a model's. `infer` and `near`,
    which only a query with a photo has, are asked only for what nothing else tells.
    """
    near = near or Neighbours()
    said = understand(text)
    stated = _by_name([label for label in labels if label.probability >= 1])
    recognised = _by_name(_labels_of_same_photo(candidates))
    guessed = {label.name: label for label in reversed(labels) if label.probability < 1}

    gender = category = type_ = colour = None
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
            values = known.get("category", ())
            if "type" in known:
                type_ = Belief(source, np.empty(0), known["type"])
            family = next(
                (found for value in known.get("type", ()) + values if (found := family_of(value))), None
            )
            category = Belief(source, _one_hot(FAMILIES, family), values)
        if colour is None and "colour" in known:
            colour = Belief(source, np.empty(0), known["colour"])
    if category is None and type_ is None:
        type_ = _voted(candidates.labels.get("type"), near.looks)
    return Query(
        gender=gender
        or _inferred(GENDERS, guessed.get("gender"), _about("gender", gender_of, candidates, infer, near)),
        category=category
        or _inferred(
            FAMILIES, guessed.get("category"), _about("category", family_of, candidates, infer, near)
        ),
        type=type_,
        colour=colour or _voted(candidates.labels.get("colour"), near.colour),
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


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What a model and the neighbours tell of a task's labels; each may be silent."""

    task: str
    label_of: Callable[[str], str | None]
    candidates: Candidates
    infer: Infer
    votes: Doubles | None

    @property
    def column(self) -> Column | None:
        """What is known of the candidates."""
        return self.candidates.labels.get(self.task)


def _about(
    task: str,
    label_of: Callable[[str], str | None],
    candidates: Candidates,
    infer: Infer,
    near: Neighbours,
) -> _Evidence:
    counted = votes.count(candidates.labels.get(task), near.looks)
    return _Evidence(task, label_of, candidates, infer, counted)


def _inferred(names: tuple[str, ...], guess: KnownLabel | None, evidence: _Evidence) -> Belief | None:
    model, voted = _of_model(names, guess, evidence), _of_votes(names, evidence)
    if model is not None:
        model = trust.corrected(model, evidence.task, names, evidence.label_of, evidence.candidates)
    if model is None:
        if evidence.votes is None:
            return None
        # Without shares the neighbours speak in words that the taxonomy does not have.
        return _told(Source.VOTED, names, np.zeros(len(names)) if voted is None else voted, evidence)
    if voted is None:
        return _told(Source.INFERRED, names, model, evidence)
    # For the neighbours who are silent the model speaks: a few of them cannot outvote it.
    voted = voted + (1 - voted.sum()) * model
    mixed: Doubles = np.exp(
        (1 - _VOTES_SHARE) * np.log(model + _LEAST_SHARE) + _VOTES_SHARE * np.log(voted + _LEAST_SHARE)
    )
    return _told(Source.INFERRED, names, mixed / mixed.sum(), evidence)


def _told(source: Source, names: tuple[str, ...], shares: Doubles, evidence: _Evidence) -> Belief:
    """In the shop's own word where the neighbours have one, else in the taxonomy's."""
    word, probability, voted = names[int(shares.argmax())], float(shares.max()), None
    if evidence.votes is not None and evidence.column is not None:
        pooled, best = _elected(evidence.column, evidence.votes)
        if not shares.any() or evidence.label_of(evidence.column.values[best]) == word:
            word = evidence.column.values[best]
            probability = probability if shares.any() else float(pooled[best])
        voted = _heard(evidence.column, pooled)
    heard = 1.0 if evidence.votes is None else float(evidence.votes.sum())
    return Belief(source, shares, (word,), probability, voted, heard)


def _heard(column: Column, pooled: Doubles) -> Mapping[str, float]:
    """The votes for each value that has more than a whisper."""
    return {
        value: share
        for value, share in zip(column.values, pooled.tolist(), strict=True)
        if share >= _LEAST_VOTE
    }


def _elected(column: Column, counted: Doubles) -> tuple[Doubles, int]:
    """The votes of all spellings for each value, and the place of the best in its most usual spelling."""
    pooled = votes.pooled(column, counted)
    return pooled, int(np.lexsort((counted, pooled))[-1])


def _of_model(names: tuple[str, ...], guess: KnownLabel | None, evidence: _Evidence) -> Doubles | None:
    distribution = evidence.infer(evidence.task)
    found = _normalised(np.array([distribution.get(name, 0.0) for name in names]))
    if found is None and guess is not None and guess.value in names:
        found = np.full(len(names), (1 - guess.probability) / (len(names) - 1))
        found[names.index(guess.value)] = guess.probability
    return found


def _of_votes(names: tuple[str, ...], evidence: _Evidence) -> Doubles | None:
    if evidence.votes is None or evidence.column is None:
        return None
    shares = np.zeros(len(names))
    for value, share in zip(evidence.column.values, evidence.votes.tolist(), strict=True):
        label = evidence.label_of(value)
        if label is not None:
            shares[names.index(label)] += share
    # What is missing to 1 is for words without a label.
    return shares if shares.any() else None


def _normalised(shares: Doubles) -> Doubles | None:
    total = float(shares.sum())
    return shares / total if total > 0 else None


def _voted(column: Column | None, weights: Doubles | None) -> Belief | None:
    counted = votes.count(column, weights)
    if counted is None or column is None:
        return None
    pooled, best = _elected(column, counted)
    return Belief(
        Source.VOTED,
        np.empty(0),
        (column.values[best],),
        float(pooled[best]),
        _heard(column, pooled),
        float(counted.sum()),
    )


def _one_hot(names: tuple[str, ...], name: str | None) -> Doubles:
    return np.array([float(candidate == name) for candidate in names])

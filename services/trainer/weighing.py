"""The weights of a profile, fitted on what a catalogue states, and compared with those set by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from services.mesh.errors import FailedPrecondition, InvalidArgument
from services.ranker.terms import INFERRED, VISUAL
from services.trainer.answers import Answers, draw
from services.trainer.evaluation import bootstrap, embedding
from services.trainer.evaluation.bootstrap import Doubles, Figure
from services.trainer.evaluation.catalogue import STATED, Catalogue, Flags, Rows
from services.trainer.evaluation.document import MAIN
from services.trainer.evaluation.embedding import Advance, Embedded, Models
from services.trainer.evaluation.exclusions import Exclusions
from services.trainer.evaluation.measurement import Begin
from services.trainer.evaluation.measures import Judge, Values
from services.trainer.evaluation.ranking import (
    WINDOW,
    Measured,
    Profile,
    Query,
    Ranker,
    Window,
    profiles,
)
from services.trainer.evaluation.similarity import cosines
from services.trainer.seen import Digests, Seen
from services.trainer.splits import share_of

# Queries whose scores with all photos are held at once.
_CHUNK = 64
_MAX_STEPS = 1_000


@dataclass(frozen=True, slots=True)
class Choices:
    """What is fitted: the profile of that name, to answers that are `alike` the query in all these labels."""

    profile: str
    alike: tuple[str, ...]
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """A figure by the weights set by hand and by fitted ones, and the difference for the same queries."""

    hand_set: Figure
    fitted: Figure
    difference: Figure


@dataclass(frozen=True, slots=True)
class Weighing:
    """Weights and what they are worth.

    `fitted` are those of all photos. `halves` are those of either half of them; in `figures` each half is
    asked with the weights of the other. `terms` are what was fitted, also where that left a weight of 0;
    `queries` is how many had the `answers` that told.
    """

    choices: Choices
    spaces: tuple[str, ...]
    queries: int
    answers: int
    terms: tuple[str, ...]
    hand_set: Profile
    fitted: Profile
    halves: tuple[Profile, Profile]
    figures: Mapping[str, Comparison]
    warnings: tuple[str, ...]


def weigh(
    catalogue: Catalogue,
    models: Models,
    *,
    models_dir: Path,
    cache: Path,
    seen: Seen | None,
    choices: Choices,
    begin: Begin,
) -> Weighing:
    """Fit a profile's weights on the photos of a catalogue, asked as an evaluation asks them.

    The hash of a product's id says which half its photo is in. The other arguments are those of
    `measurement.evaluate`. Raises InvalidArgument for a profile or label that there is not and where no photo
    can be read, and FailedPrecondition (reason NOTHING_TO_FIT) where a half has no right and wrong answers to
    tell apart, or no space that does.
    """
    hand_set = _chosen(choices, models)
    keys = embedding.digests(catalogue.photos)
    advance = begin("photos", len(keys))
    embedded = embedding.embed_photos(catalogue.photos, keys, models, cache, advance)
    catalogue, keys = catalogue.keep(embedded.readable), keys[embedded.readable]
    shop = _Shop(catalogue, embedded, models, models_dir)

    everyone = np.arange(len(catalogue.products))
    is_first = np.array([share_of("weights", each.product_id) < 0.5 for each in catalogue.products])
    names = [name for name in hand_set.weights if name.startswith(VISUAL) or name in INFERRED]
    advance = begin("measuring", len(everyone))
    answers = draw(names, shop.candidates(hand_set, everyone, choices.alike, advance), seed=choices.seed)
    halves = fit(hand_set, answers.of(is_first)), fit(hand_set, answers.of(~is_first))
    advance = begin("set by hand", len(everyone))
    by_hand = shop.figures(hand_set, everyone, advance)
    advance = begin("fitted", len(everyone))
    fitted = {name: np.full(len(everyone), np.nan) for name in MAIN}
    for profile, asked in ((halves[0], ~is_first), (halves[1], is_first)):
        for name, values in shop.figures(profile, everyone[asked], advance).items():
            fitted[name][asked] = values
    return Weighing(
        choices,
        tuple(space.name for space in models.spaces),
        len(np.unique(answers.queries)),
        len(answers.queries),
        answers.telling().terms,
        hand_set,
        fit(hand_set, answers),
        halves,
        dict(_compared(by_hand, fitted)),
        tuple(_warnings(seen, keys, shop.ranker.degraded)),
    )


def fit(hand_set: Profile, answers: Answers) -> Profile:
    """The profile with the weights that best tell right answers from wrong ones.

    Scores compare only within a query, so each query's mean is removed from what a logistic regression sees:
    with as many right as wrong answers that comes near the conditional logit (McFadden 1974, "Conditional
    logit analysis of qualitative choice behavior"). A term whose weight would be negative is left out and the
    others are fitted anew, the most negative first. Weights are in the unit of the visual ones, which add up
    to 1. What the answers do not tell of, such as `known.*`, keeps the weight set by hand.

    Raises FailedPrecondition (reason NOTHING_TO_FIT) where there are no answers, or where no space tells the
    right ones from the wrong ones.
    """
    telling = answers.telling()
    weights = dict(zip(telling.terms, _logistic(telling.values, telling.right).tolist(), strict=True))
    visual = sum(weight for name, weight in weights.items() if name.startswith(VISUAL))
    if not visual:
        raise FailedPrecondition(
            "nothing to fit weights on: by these labels no space tells right answers from wrong ones",
            reason="NOTHING_TO_FIT",
        )
    kept = {
        name: weight
        for name, weight in hand_set.weights.items()
        if name not in weights and not name.startswith(VISUAL)
    }
    fitted = {name: weight / visual for name, weight in weights.items() if weight}
    return Profile(hand_set.name, fitted | kept)


def _logistic(values: Doubles, right: Flags) -> Doubles:
    """Weights from 0 on, float64 [terms], by values [answers, terms] of which no column is 0 throughout."""
    weights = np.zeros(values.shape[1])
    left = np.arange(len(weights))
    while len(left):
        # In units of their spread, so that the penalty that keeps weights finite is the same to every term.
        spread = values[:, left].std(axis=0)
        model = LogisticRegression(fit_intercept=False, max_iter=_MAX_STEPS)
        found = model.fit(values[:, left] / spread, right).coef_[0]
        if found.min() >= 0:
            weights[left] = found / spread
            break
        left = np.delete(left, found.argmin())
    return weights


class _Shop:
    """A catalogue with its vectors and the ranker, asked with photos alone."""

    def __init__(self, catalogue: Catalogue, embedded: Embedded, models: Models, models_dir: Path) -> None:
        self._catalogue = catalogue
        self._vectors = embedded.vectors
        self._exclusions = Exclusions(catalogue, embedded, with_group=False)
        self._first_photos = catalogue.first_photos
        self._judge = Judge(catalogue)
        self._firsts = {space: vectors[self._first_photos] for space, vectors in embedded.vectors.items()}
        self.ranker = Ranker(catalogue, self._firsts, models.spaces, models_dir)

    def candidates(
        self, profile: Profile, queries: Rows, alike: Sequence[str], advance: Advance
    ) -> Iterator[tuple[Measured, Flags]]:
        """What is measured of each query's candidates, and which of them are right."""
        codes = np.stack([self._catalogue.codes(label) for label in alike])
        for chunk, windows, _ in self._asked(profile, queries, advance):
            for query, window in zip(chunk.tolist(), windows, strict=True):
                measured = self.ranker.measure(profile, self._query(query), window)
                wanted = codes[:, query, None]
                right = (codes[:, measured.products] == wanted) & (wanted >= 0)
                yield measured, right.all(axis=0)

    def figures(self, profile: Profile, queries: Rows, advance: Advance) -> Values:
        """The main figures of each query, NaN where it does not count."""
        parts = []
        depth = min(WINDOW, len(self._catalogue.products))
        for chunk, windows, excluded in self._asked(profile, queries, advance):
            order = np.full((len(chunk), depth), -1, dtype=np.int32)
            for row, (query, window) in enumerate(zip(chunk.tolist(), windows, strict=True)):
                hits = self.ranker.rank(profile, self._query(query), window, masked=False).products
                order[row, : len(hits)] = hits
            parts.append(self._judge.photos(order, chunk, excluded))
        return {name: np.concatenate([part[name] for part in parts]) for name in MAIN}

    def _asked(
        self, profile: Profile, queries: Rows, advance: Advance
    ) -> Iterator[tuple[Rows, list[Window], list[Rows]]]:
        for start in range(0, len(queries), _CHUNK):
            chunk = queries[start : start + _CHUNK]
            excluded = [self._exclusions.of_photo(query) for query in chunk.tolist()]
            scores = cosines({space: its[chunk] for space, its in self._firsts.items()}, self._vectors)
            yield chunk, self.ranker.windows(profile, scores, self._first_photos, excluded), excluded
            advance(len(chunk))

    def _query(self, product: int) -> Query:
        return Query({space: vectors[product] for space, vectors in self._firsts.items()})


def _chosen(choices: Choices, models: Models) -> Profile:
    for label in choices.alike:
        if label not in STATED:
            raise InvalidArgument("alike", f"no label {label!r}, there are {', '.join(STATED)}")
    if not choices.alike:
        raise InvalidArgument("alike", f"wanted some of {', '.join(STATED)}")
    found = {profile.name: profile for profile in profiles([space.name for space in models.spaces])}
    if choices.profile not in found:
        raise InvalidArgument("profile", f"no profile {choices.profile!r}, there are {', '.join(found)}")
    return found[choices.profile]


def _compared(by_hand: Values, fitted: Values) -> Iterator[tuple[str, Comparison]]:
    for name in MAIN:
        before, after = bootstrap.mean(by_hand[name]), bootstrap.mean(fitted[name])
        difference = bootstrap.mean(fitted[name] - by_hand[name])
        if before and after and difference:
            yield name, Comparison(before, after, difference)


def _warnings(seen: Seen | None, keys: Digests, degraded: str) -> Iterator[str]:
    if seen is None:
        yield (
            "It is not known which photos the weights of the models were trained on. There a term tells more"
            " than on new photos, and gets too much weight."
        )
    elif seen.count(keys):
        yield (
            f"The weights of the models were trained on {seen.count(keys):,} of these {len(keys):,} photos."
            " There a term tells more than on new photos, and gets too much weight."
        )
    if degraded:
        yield degraded

"""Every query asked in every space and profile: the figures of each, query by query."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.mesh.errors import FailedPrecondition
from services.trainer.evaluation import cost, embedding, slices
from services.trainer.evaluation.catalogue import GENDER, STATED, Catalogue, Flags, Rows
from services.trainer.evaluation.cost import Cost, Latency
from services.trainer.evaluation.embedding import Advance, Embedded, Models, Vectors
from services.trainer.evaluation.exclusions import Exclusions
from services.trainer.evaluation.measures import FIRST, Judge, Values
from services.trainer.evaluation.ranking import (
    WINDOW,
    Explained,
    Measured,
    Profile,
    Query,
    Ranker,
    Window,
    profiles,
)
from services.trainer.evaluation.similarity import Order, best_photos, cosines, nearest
from services.trainer.seen import Seen

# Says what is begun and of how many things; what is returned is called with the number of things done since.
Begin = Callable[[str, int], Advance]

# Queries whose scores with all photos are held at once.
_CHUNK = 64


@dataclass(frozen=True, slots=True)
class Choices:
    """What is asked of an evaluation.

    `sample` queries are drawn by `seed`, all products' where it is None. `exclude_group` keeps a query's
    group out of its hits, `query_metadata` lets the ranker know what the shop states of a query's product,
    `unseen_only` leaves out photos that the weights were trained on.
    """

    sample: int | None = None
    seed: int = 0
    exclude_group: bool = False
    query_metadata: bool = False
    unseen_only: bool = False


@dataclass(frozen=True, slots=True)
class Ranking:
    """One way to rank, its figures by query and its first hits.

    `name` is where its figures are in the JSON. `photo_hits` are as deep as the window, `text_hits` are
    [queries, 100], and of no queries where it does not take texts. `dropped` counts, by photo query, the
    candidates of a wrong gender, those of the right one, and how many of each were dropped: float64
    [queries, 4]. `rank_ms` is of `candidates` candidates.
    """

    name: str
    photos: Values
    photo_hits: Order
    texts: Values
    text_hits: Order
    dropped: npt.NDArray[np.float64] | None = None
    rank_ms: Latency | None = None
    candidates: int = 0


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured. `queries` and `text_queries` are places of products, int64."""

    choices: Choices
    catalogue: Catalogue
    exclusions: Exclusions
    queries: Rows
    text_queries: Rows
    rankings: tuple[Ranking, ...]
    costs: Mapping[str, Cost]
    slices: Mapping[str, Flags]
    photos_trained_on: int | None
    warnings: tuple[str, ...]
    bench: Bench = field(repr=False)

    def named(self, prefix: str) -> list[Ranking]:
        """The rankings whose names are `prefix` and one more word: `spaces.`, `masked.profiles.`."""
        return [
            ranking
            for ranking in self.rankings
            if ranking.name.startswith(prefix) and "." not in ranking.name[len(prefix) :]
        ]


def evaluate(
    catalogue: Catalogue,
    models: Models,
    *,
    models_dir: Path,
    cache: Path,
    seen: Seen | None,
    choices: Choices,
    begin: Begin,
) -> Evaluation:
    """Measure how well the products of a catalogue are found.

    Every product's first photo is a query to all products, without its own and its doubles; and so is every
    title, to which its own product is the answer. `cache` is where vectors are kept, `models_dir` where the
    ranker's artefact lies, and `seen` the photos that the weights were trained on, None where that is not
    known. Raises FailedPrecondition where only unseen photos are wanted and nobody knows which they are, or
    where none is left, and InvalidArgument where no photo can be read.
    """
    digests = embedding.digests(catalogue.photos)
    if choices.unseen_only:
        if seen is None:
            raise FailedPrecondition(
                "it is not known which photos the heads were trained on", reason="SEEN_MISSING"
            )
        unseen = ~seen.among(digests)
        if not unseen.any():
            raise FailedPrecondition("the heads were trained on all of these photos", reason="ALL_SEEN")
        catalogue, digests = catalogue.keep(unseen), digests[unseen]
    advance = begin("photos", len(digests))
    embedded = embedding.embed_photos(catalogue.photos, digests, models, cache, advance)
    unreadable = int((~embedded.readable).sum())
    catalogue, digests = catalogue.keep(embedded.readable), digests[embedded.readable]
    trained_on = None if seen is None else seen.count(digests)

    exclusions = Exclusions(catalogue, embedded, with_group=choices.exclude_group)
    queries = _drawn(len(catalogue.products), choices)
    text_queries = np.array(
        [query for query in queries if catalogue.products[query].title and models.text_spaces],
        dtype=np.int64,
    )
    titles = [catalogue.products[query].title for query in text_queries]
    text_vectors: Mapping[str, Vectors] = {}
    if titles:
        advance = begin("titles", len(titles) * len(models.text_spaces))
        text_vectors = embedding.embed_texts(titles, models, cache, advance)
    bench = Bench(catalogue, embedded, models, models_dir, exclusions, choices)
    rankings = bench.rankings(queries, text_queries, text_vectors, begin)
    firsts = catalogue.first_photos[queries]
    costs = {
        space.name: measured
        for space in models.spaces
        if (
            measured := cost.measure(
                catalogue, space, embedded.vectors[space.name], embedded.vectors[space.name][firsts]
            )
        )
    }
    return Evaluation(
        choices,
        catalogue,
        exclusions,
        queries,
        text_queries,
        tuple(rankings),
        costs,
        slices.of(catalogue, queries, embedded.plainness[firsts]),
        trained_on,
        tuple(_warnings(trained_on, len(digests), unreadable, bench.ranker.degraded)),
        bench,
    )


class Bench:
    """A catalogue with its vectors and the ranker, ready to be asked."""

    def __init__(
        self,
        catalogue: Catalogue,
        embedded: Embedded,
        models: Models,
        models_dir: Path,
        exclusions: Exclusions,
        choices: Choices,
    ) -> None:
        self._catalogue = catalogue
        self._vectors = embedded.vectors
        self._exclusions = exclusions
        self._choices = choices
        self._firsts = catalogue.first_photos
        self._judge = Judge(catalogue)
        self._genders = catalogue.codes(GENDER)
        self._depth = min(WINDOW, len(catalogue.products))
        firsts = {space: vectors[self._firsts] for space, vectors in embedded.vectors.items()}
        self.ranker = Ranker(catalogue, firsts, models.spaces, models_dir)
        self.profiles = profiles([space.name for space in models.spaces])

    def rankings(
        self, queries: Rows, text_queries: Rows, text_vectors: Mapping[str, Vectors], begin: Begin
    ) -> list[Ranking]:
        """Every ranking of photos and titles; `text_vectors` are float32 [text queries, dim] by space."""
        found: dict[str, _Notes] = {}
        advance = begin("photo queries", len(queries))
        for rows in _chunks(len(queries)):
            self._ask_photos(queries[rows], found)
            advance(len(rows))
        advance = begin("text queries", len(text_queries))
        for rows in _chunks(len(text_queries)):
            vectors = {space: each[rows] for space, each in text_vectors.items()}
            self._ask_texts(text_queries[rows], vectors, found)
            advance(len(rows))
        return [notes.ranking(name) for name, notes in found.items()]

    def explain(self, profile: Profile, product: int, *, masked: bool, limit: int) -> Explained:
        """Why a profile answers a product's photo as it does."""
        scores = self._cosines(np.array([product]))
        (window,) = self.ranker.windows(profile, scores, self._firsts, [self._exclusions.of_photo(product)])
        return self.ranker.explain(profile, self._photo_query(product), window, masked=masked, limit=limit)

    def measure(self, profile: Profile, product: int) -> Measured:
        """What a profile's terms tell of the candidates of a photo query."""
        scores = self._cosines(np.array([product]))
        (window,) = self.ranker.windows(profile, scores, self._firsts, [self._exclusions.of_photo(product)])
        return self.ranker.measure(profile, self._photo_query(product), window)

    def _ask_photos(self, queries: Rows, found: dict[str, _Notes]) -> None:
        excluded = [self._exclusions.of_photo(query) for query in queries.tolist()]
        scores = self._cosines(queries)
        for space, its in scores.items():
            order = nearest(best_photos(its, self._firsts)[0], excluded, self._depth)
            _notes(found, f"spaces.{space}").add_photos(order, self._judge.photos(order, queries, excluded))
        for profile in self.profiles:
            windows = self.ranker.windows(profile, scores, self._firsts, excluded)
            asked = [self._photo_query(query) for query in queries.tolist()]
            for name, masked in _names(profile):
                notes = _notes(found, name)
                order, dropped = self._rank(profile, asked, windows, notes, masked=masked)
                notes.add_photos(order, self._judge.photos(order, queries, excluded))
                notes.dropped += [
                    self._count_dropped(*each) for each in zip(queries, windows, dropped, strict=True)
                ]

    def _ask_texts(self, queries: Rows, vectors: Mapping[str, Vectors], found: dict[str, _Notes]) -> None:
        excluded = [self._exclusions.of_text(query) for query in queries.tolist()]
        scores = cosines(vectors, self._vectors)
        for space, its in scores.items():
            order = nearest(best_photos(its, self._firsts)[0], excluded, self._depth)
            _notes(found, f"spaces.{space}").add_texts(order, self._judge.texts(order, queries))
        for profile in self.profiles:
            if profile.visual(scores):
                windows = self.ranker.windows(profile, scores, self._firsts, excluded, of_texts=True)
                asked = [Query(text=self._catalogue.products[query].title) for query in queries]
                for name, masked in _names(profile):
                    order, _ = self._rank(profile, asked, windows, None, masked=masked)
                    _notes(found, name).add_texts(order, self._judge.texts(order, queries))

    def _rank(
        self,
        profile: Profile,
        asked: Sequence[Query],
        windows: Sequence[Window],
        timed: _Notes | None,
        *,
        masked: bool,
    ) -> tuple[Order, list[Rows]]:
        order = np.full((len(asked), self._depth), -1, dtype=np.int32)
        dropped = []
        for row, (query, window) in enumerate(zip(asked, windows, strict=True)):
            ranked = self.ranker.rank(profile, query, window, masked=masked)
            order[row, : len(ranked.products)] = ranked.products
            dropped.append(ranked.dropped)
            if timed is not None:
                timed.durations_s.append(ranked.took_s)
                timed.candidates = max(timed.candidates, len(window.products))
        return order, dropped

    def _count_dropped(self, query: int, window: Window, dropped: Rows) -> list[int]:
        wanted = self._genders[query]
        counts = []
        for products in (window.products, dropped):
            genders = self._genders[products]
            wrong = int(((genders != wanted) & (genders >= 0)).sum()) if wanted >= 0 else 0
            counts += [wrong, int((genders == wanted).sum()) if wanted >= 0 else 0]
        return counts

    def _cosines(self, products: Rows) -> dict[str, Vectors]:
        photos = self._firsts[products]
        return cosines({space: each[photos] for space, each in self._vectors.items()}, self._vectors)

    def _photo_query(self, product: int) -> Query:
        photo = self._firsts[product]
        labels = self._catalogue.products[product].labels if self._choices.query_metadata else {}
        return Query(
            {space: vectors[photo] for space, vectors in self._vectors.items()},
            stated={name: labels[name] for name in STATED if name in labels},
        )


@dataclass
class _Notes:
    """A ranking on its way, chunk by chunk."""

    photos: list[Values] = field(default_factory=list)
    photo_hits: list[Order] = field(default_factory=list)
    texts: list[Values] = field(default_factory=list)
    text_hits: list[Order] = field(default_factory=list)
    dropped: list[list[int]] = field(default_factory=list)
    durations_s: list[float] = field(default_factory=list)
    candidates: int = 0

    def add_photos(self, order: Order, values: Values) -> None:
        self.photos.append(values)
        self.photo_hits.append(order)

    def add_texts(self, order: Order, values: Values) -> None:
        self.texts.append(values)
        self.text_hits.append(order[:, :FIRST])

    def ranking(self, name: str) -> Ranking:
        return Ranking(
            name,
            _joined(self.photos),
            _stacked(self.photo_hits),
            _joined(self.texts),
            _stacked(self.text_hits),
            np.array(self.dropped, dtype=np.float64) if self.dropped else None,
            Latency.of(self.durations_s) if self.durations_s else None,
            self.candidates,
        )


def _notes(found: dict[str, _Notes], name: str) -> _Notes:
    return found.setdefault(name, _Notes())


def _names(profile: Profile) -> tuple[tuple[str, bool], ...]:
    return (f"profiles.{profile.name}", False), (f"masked.profiles.{profile.name}", True)


def _joined(parts: Sequence[Values]) -> Values:
    """The values of all chunks, of the figures for which any query counts."""
    whole = {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}
    return {name: values for name, values in whole.items() if not np.isnan(values).all()}


def _stacked(parts: Sequence[Order]) -> Order:
    return np.concatenate(parts) if parts else np.empty((0, FIRST), dtype=np.int32)


def _chunks(count: int) -> Iterator[npt.NDArray[np.int64]]:
    for start in range(0, count, _CHUNK):
        yield np.arange(start, min(start + _CHUNK, count))


def _drawn(count: int, choices: Choices) -> Rows:
    if choices.sample is None or choices.sample >= count:
        return np.arange(count)
    return np.sort(np.random.default_rng(choices.seed).choice(count, choices.sample, replace=False))


def _warnings(trained_on: int | None, photos: int, unreadable: int, degraded: str) -> Iterable[str]:
    if trained_on is None:
        yield (
            "It is not known which photos the weights were trained on, so these figures are no claim of"
            " quality."
        )
    elif trained_on:
        yield (
            f"The weights were trained on {trained_on:,} of these {photos:,} photos: these figures are no"
            " claim of quality. --unseen-only leaves those photos out."
        )
    if unreadable:
        yield f"{unreadable:,} photos could not be read and were left out."
    if degraded:
        yield f"The ranker does without semantics: {degraded}."

"""An evaluation as one page that needs nothing else: figures, slices, and what went wrong, with pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from PIL import Image, ImageOps

from services.mesh.errors import InvalidArgument
from services.trainer.evaluation import measures
from services.trainer.evaluation.catalogue import CATEGORY, GENDER, TYPE
from services.trainer.evaluation.measurement import Evaluation, Ranking
from services.trainer.evaluation.measures import GENDER_AND_CATEGORY
from services.trainer.evaluation.naming import FIGURES, figure, rankings, slice_name
from services.trainer.evaluation.ranking import Explained, Profile

_FAILURES = 12
_FAILURES_A_CATEGORY = 2
_EXAMPLES = 6
_HITS = 6
_SIDE = 168
_QUALITY = 72
_SLICED = (GENDER_AND_CATEGORY, "gender_at_10")
# What a failure fails at: the first of these that the catalogue's labels can tell.
_FAILED_AT = (GENDER_AND_CATEGORY, "precision_at_10_type", "colour_at_10", "recall_at_1_group")


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure beside others of its kind."""

    name: str
    figure: Mapping[str, Any]
    is_best: bool


@dataclass(frozen=True, slots=True)
class Card:
    """One figure in every ranking; `ratios` are those of profiles to the best space."""

    title: str
    bars: tuple[Bar, ...]
    ratios: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Slices:
    """A figure by slice: rows of name, number of queries, and the figure in each of `names` or None."""

    title: str
    names: tuple[str, ...]
    rows: tuple[tuple[str, int, tuple[Mapping[str, Any] | None, ...]], ...]


@dataclass(frozen=True, slots=True)
class Confusion:
    """Shares of the hits' words (columns, the last for unknown) by the query's word (rows)."""

    words: tuple[str, ...]
    rows: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """A product as it is shown; `agrees` says of each shown label whether it is the query's."""

    source: str
    product_id: str
    title: str
    labels: tuple[tuple[str, bool], ...]
    score: float = 0.0
    terms: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A query with its first hits; `found` is the figure it is chosen by, None where it does not count."""

    query: Picture
    believed: tuple[tuple[str, str, float], ...]
    found: float | None
    hits: tuple[Picture, ...]


def write(evaluation: Evaluation, document: Mapping[str, Any], name: str, path: Path) -> None:
    """Write the page about the catalogue `name`; `document` is the evaluation's own.

    Raises InvalidArgument (field `report`) where the file cannot be written.
    """
    template = resources.files("services.trainer.evaluation").joinpath("page.html").read_text("utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    failed_at, failures, examples = _answers(evaluation)
    html = environment.from_string(template).render(
        name=name,
        document=document,
        cards=list(_cards(document)),
        slices=[found for path_ in _SLICED if (found := _slices(document, path_)).rows],
        confusion=_confusion(evaluation),
        profile=evaluation.bench.profiles[0].name,
        failed_at=failed_at,
        failures=failures,
        examples=examples,
    )
    try:
        path.write_text(html, encoding="utf-8")
    except OSError as error:
        raise InvalidArgument("report", f"{path}: {error.strerror or error}") from error


def _cards(document: Mapping[str, Any]) -> Iterator[Card]:
    for path, title in FIGURES.items():
        if bars := _bars(document, path):
            yield Card(title, bars, _bars(document, f"over_best_space.{path}"))


def _bars(document: Mapping[str, Any], path: str) -> tuple[Bar, ...]:
    found = {name: each for name, entry in rankings(document) if (each := figure(entry, path))}
    best = max((each["value"] for each in found.values()), default=0.0)
    return tuple(Bar(name, each, each["value"] == best) for name, each in found.items())


def _slices(document: Mapping[str, Any], path: str) -> Slices:
    names = tuple(name for name, _ in rankings(document))
    rows = []
    for name, part in document["slices"].items():
        found = tuple(figure(entry, path) for _, entry in rankings(part))
        if any(found):
            rows.append((slice_name(name), part["n"], found))
    return Slices(FIGURES[path], names, tuple(rows))


def _confusion(evaluation: Evaluation) -> Confusion | None:
    codes = evaluation.catalogue.codes(GENDER)
    if (codes < 0).all():
        return None
    words: dict[int, str] = {}
    for code, product in zip(codes.tolist(), evaluation.catalogue.products, strict=True):
        if code >= 0:
            words.setdefault(code, product.labels[GENDER])
    shares = measures.confusion(codes, _main(evaluation).photo_hits, evaluation.queries)
    return Confusion(
        tuple(words[code] for code in sorted(words)), tuple(tuple(row) for row in shares.tolist())
    )


def _main(evaluation: Evaluation) -> Ranking:
    return evaluation.named("profiles.")[0]


def _answers(evaluation: Evaluation) -> tuple[str, list[Answer], list[Answer]]:
    """What failures are chosen by, the worst of them, and some queries by chance."""
    ranking, profile = _main(evaluation), evaluation.bench.profiles[0]
    name = next((name for name in _FAILED_AT if name in ranking.photos), "")
    values = ranking.photos.get(name, np.full(len(evaluation.queries), np.nan))
    worst = _worst(evaluation, values)
    count = min(_EXAMPLES, len(evaluation.queries))
    random = np.random.default_rng(evaluation.choices.seed).choice(
        len(evaluation.queries), count, replace=False
    )

    def answers(places: Sequence[int]) -> list[Answer]:
        return [_answer(evaluation, profile, place, float(values[place])) for place in places]

    return FIGURES.get(name, ""), answers(worst), answers(random.tolist())


def _worst(evaluation: Evaluation, values: np.ndarray[Any, np.dtype[np.float64]]) -> list[int]:
    """The places of the queries with the lowest values below 1, a few of each category at most."""
    categories = evaluation.catalogue.codes(CATEGORY)[evaluation.queries]
    taken: dict[int, int] = {}
    chosen: list[int] = []
    for place in np.argsort(values, kind="stable").tolist():
        if len(chosen) == _FAILURES or not values[place] < 1:
            break
        category = int(categories[place])
        if taken.get(category, 0) < _FAILURES_A_CATEGORY:
            taken[category] = taken.get(category, 0) + 1
            chosen.append(place)
    return chosen


def _answer(evaluation: Evaluation, profile: Profile, place: int, value: float) -> Answer:
    query = int(evaluation.queries[place])
    explained = evaluation.bench.explain(profile, query, masked=False, limit=_HITS)
    return Answer(
        _picture(evaluation, query, query),
        explained.believed,
        None if np.isnan(value) else value,
        tuple(_hits(evaluation, query, explained)),
    )


def _hits(evaluation: Evaluation, query: int, explained: Explained) -> Iterator[Picture]:
    for hit in explained.hits:
        yield _picture(evaluation, hit.product, query, hit.score, tuple(hit.terms.items()))


def _picture(
    evaluation: Evaluation,
    product: int,
    query: int,
    score: float = 0.0,
    terms: tuple[tuple[str, float], ...] = (),
) -> Picture:
    shown, wanted = (evaluation.catalogue.products[place] for place in (product, query))
    labels = tuple(
        (shown.labels[name], shown.labels[name].casefold() == wanted.labels.get(name, "").casefold())
        for name in (GENDER, CATEGORY, TYPE)
        if name in shown.labels
    )
    return Picture(
        _data_uri(shown.photos[0]), shown.product_id, shown.title or shown.product_id, labels, score, terms
    )


def _data_uri(photo: Path) -> str:
    with Image.open(photo) as image:
        image.draft("RGB", (_SIDE, _SIDE))
        small = ImageOps.exif_transpose(image).convert("RGBA")
        small.thumbnail((_SIDE, _SIDE))
    # Transparent pictures lie on white, as the models see them.
    flat = Image.new("RGB", small.size, "white")
    flat.paste(small, mask=small.getchannel("A"))
    buffer = io.BytesIO()
    flat.save(buffer, "WEBP", quality=_QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"

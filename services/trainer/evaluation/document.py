"""An evaluation as the one JSON document that everything else is drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from services.trainer.evaluation import bootstrap
from services.trainer.evaluation.bootstrap import Doubles, Figure
from services.trainer.evaluation.catalogue import Flags
from services.trainer.evaluation.measurement import Evaluation, Ranking
from services.trainer.evaluation.measures import GENDER_AND_CATEGORY, Values

Json = dict[str, Any]

MAIN = (
    *("gender_at_10", "category_at_10", GENDER_AND_CATEGORY, "precision_at_10_type", "colour_at_10"),
    *("recall_at_1_category", "recall_at_5_category"),
)
"""The figures of slices."""


def of(evaluation: Evaluation) -> Json:
    """The document that `vitrine eval --json` prints.

    `spaces`, `profiles` and `masked.profiles` have the figures of each, by name, those of texts under
    `text_to_image`; `slices` the main figures again by slice; `drops` and `masked.drops` what each profile
    dropped. A figure is an object of `value`, `low`, `high` and `n`, and is absent where no query counts.
    """
    document: Json = {
        "catalogue": _catalogue(evaluation),
        "choices": asdict(evaluation.choices),
        "warnings": list(evaluation.warnings),
        "spaces": {},
        "profiles": {},
        "masked": {"profiles": {}, "drops": {}},
        "drops": {},
        "slices": {name: {"n": int(flags.sum())} for name, flags in evaluation.slices.items()},
    }
    best = _best_space(evaluation)
    for ranking in evaluation.rankings:
        *path, name = ranking.name.split(".")
        entry = _figures(ranking.photos)
        if ranking.texts:
            entry["text_to_image"] = _figures(ranking.texts)
        if path == ["spaces"]:
            entry |= _cost(evaluation, name)
        else:
            entry |= _of_profile(ranking, best)
            drops = document["masked"]["drops"] if path[0] == "masked" else document["drops"]
            drops[name] = _drops(ranking)
        _at(document, path)[name] = entry
        for slice_name, flags in evaluation.slices.items():
            part = {figure: ranking.photos[figure] for figure in MAIN if figure in ranking.photos}
            _at(document["slices"][slice_name], path)[name] = _figures(part, flags)
    return document


def _catalogue(evaluation: Evaluation) -> Json:
    catalogue = evaluation.catalogue
    return {
        "products": len(catalogue.products),
        "photos": len(catalogue.photos),
        "queries": len(evaluation.queries),
        "text_queries": len(evaluation.text_queries),
        "duplicate_pairs": evaluation.exclusions.doubles,
        "photos_trained_on": evaluation.photos_trained_on,
        "row_problems": catalogue.problems,
    }


def _figures(values: Values, among: Flags | None = None) -> Json:
    figures = {name: bootstrap.mean(each if among is None else each[among]) for name, each in values.items()}
    return {name: figure.as_json() for name, figure in figures.items() if figure is not None}


def _cost(evaluation: Evaluation, space: str) -> Json:
    return asdict(evaluation.costs[space]) if space in evaluation.costs else {}


def _of_profile(ranking: Ranking, best: Ranking | None) -> Json:
    entry: Json = {}
    if ranking.rank_ms is not None:
        entry["rank_ms"] = asdict(ranking.rank_ms)
        entry["candidates"] = ranking.candidates
    if best is not None:
        ratio = _over(ranking.photos[GENDER_AND_CATEGORY], best.photos[GENDER_AND_CATEGORY])
        if ratio is not None:
            space = best.name.removeprefix("spaces.")
            entry["over_best_space"] = {GENDER_AND_CATEGORY: ratio.as_json() | {"space": space}}
    return entry


def _over(profile: Doubles, space: Doubles) -> Figure | None:
    # The same queries count for both.
    counted = ~np.isnan(space)
    return bootstrap.ratio(profile[counted], space[counted])


def _best_space(evaluation: Evaluation) -> Ranking | None:
    spaces = [space for space in evaluation.named("spaces.") if GENDER_AND_CATEGORY in space.photos]
    return max(spaces, key=lambda space: float(np.nanmean(space.photos[GENDER_AND_CATEGORY])), default=None)


def _drops(ranking: Ranking) -> Json:
    """How well a profile drops candidates for their gender, over all queries together.

    Of those of a wrong gender the share dropped, of those dropped the share of a wrong gender, and of those
    of the right one the share lost.
    """
    assert ranking.dropped is not None
    wrong, right, wrong_dropped, right_dropped = ranking.dropped.T
    figures: Mapping[str, Figure | None] = {
        "wrong_dropped": bootstrap.ratio(wrong_dropped, wrong),
        "precision": bootstrap.ratio(wrong_dropped, wrong_dropped + right_dropped),
        "right_lost": bootstrap.ratio(right_dropped, right),
    }
    return {name: figure.as_json() for name, figure in figures.items() if figure is not None}


def _at(document: Json, path: list[str]) -> Json:
    for name in path:
        document = document.setdefault(name, {})
    return document

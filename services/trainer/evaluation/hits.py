"""The ranked ids of every query in a file, so that anyone can work the figures out anew."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from services.mesh.errors import InvalidArgument
from services.trainer.evaluation.catalogue import Rows
from services.trainer.evaluation.measurement import Evaluation
from services.trainer.evaluation.measures import FIRST
from services.trainer.evaluation.similarity import Order


def dump(evaluation: Evaluation, path: Path) -> None:
    """Write a JSON object a line, for each ranking and query.

    `query` is the id of the product whose photo or title (`kind`: photo, text) was asked with, `ranking` is
    the name of its figures in the JSON (`spaces.clip`, `masked.profiles.similar`), `hits` the first product
    ids in order, and `excluded` the ids that could not be hits. There are 100 hits, and for photos as many as
    products of the query's type, up to the window, if those are more: mAP@R looks so deep. Raises
    InvalidArgument (field `dump_hits`) where the file cannot be written.
    """
    try:
        with path.open("w", encoding="utf-8") as file:
            for line in _lines(evaluation):
                file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
    except OSError as error:
        raise InvalidArgument("dump_hits", f"{path}: {error.strerror or error}") from error


def _lines(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    exclusions = evaluation.exclusions
    types = evaluation.catalogue.codes("type")
    alike = np.bincount(types[types >= 0], minlength=int(types.max(initial=0)) + 1)
    for ranking in evaluation.rankings:
        for kind, order, queries, excluded in (
            ("photo", ranking.photo_hits, evaluation.queries, exclusions.of_photo),
            ("text", ranking.text_hits, evaluation.text_queries, exclusions.of_text),
        ):
            for place, query in enumerate(queries.tolist() if len(order) else ()):
                depth = max(FIRST, int(alike[types[query]]) if types[query] >= 0 else 0)
                yield {
                    "query": evaluation.catalogue.products[query].product_id,
                    "kind": kind,
                    "ranking": ranking.name,
                    "hits": _ids(evaluation, order[place][:depth]),
                    "excluded": _ids(evaluation, excluded(query)),
                }


def _ids(evaluation: Evaluation, products: Rows | Order) -> list[str]:
    return [evaluation.catalogue.products[place].product_id for place in products.tolist() if place >= 0]

"""Parts of the queries that are worth a look of their own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from services.trainer.evaluation.catalogue import CATEGORY, GENDER, TYPE, Catalogue, Flags, Rows
from services.trainer.evaluation.embedding import Vectors
from services.trainer.evaluation.pictures import PLAIN_SHARE
from services.trainer.evaluation.ranking import is_accessory, is_footwear, is_for_men_or_women

MIN_QUERIES = 30
"""Of a gender or a category; fewer say nothing."""


def of(catalogue: Catalogue, queries: Rows, plainness: Vectors) -> dict[str, Flags]:
    """By name, which of the products `queries`, int64 [q], belong to a slice: bool [q]; none is empty.

    `gender/Women` and `category/Shoes` are the shop's own words, from 30 queries on. `footwear` and
    `accessories` are what the taxonomy makes of category and type, `men_women` leaves children and unisex
    things out. `phone_photos` are queries whose photo has no plain border; `plainness` is float32 [q].
    """
    labels = [catalogue.products[query].labels for query in queries]
    kinds = [(label.get(CATEGORY, ""), label.get(TYPE, "")) for label in labels]
    found = dict(_by_word(catalogue, queries, GENDER)) | dict(_by_word(catalogue, queries, CATEGORY))
    found |= {
        "footwear": np.array([is_footwear(*kind) for kind in kinds]),
        "accessories": np.array([is_accessory(*kind) for kind in kinds]),
        "phone_photos": plainness < PLAIN_SHARE,
        "men_women": np.array([is_for_men_or_women(label.get(GENDER, "")) for label in labels]),
    }
    return {name: flags for name, flags in found.items() if flags.any()}


def _by_word(catalogue: Catalogue, queries: Rows, label: str) -> Iterator[tuple[str, Flags]]:
    codes = catalogue.codes(label)[queries]
    for code in np.unique(codes[codes >= 0]).tolist():
        flags = codes == code
        if flags.sum() >= MIN_QUERIES:
            word = catalogue.products[int(queries[flags.argmax()])].labels[label]
            yield f"{label}/{word}", flags

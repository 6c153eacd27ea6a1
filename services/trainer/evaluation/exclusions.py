"""What must not count as a find: the query's own product, its doubles, and by choice its group."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from services.trainer.evaluation import pictures
from services.trainer.evaluation.catalogue import GROUP, Catalogue, Rows
from services.trainer.evaluation.embedding import Embedded, Vectors
from services.trainer.evaluation.ranking import SAME_PHOTO_COSINE, SAME_PHOTO_SPACE

_CHUNK = 512


class Exclusions:
    """Products by the products whose answers they must not be in.

    A double is another product with a photo that shows the same picture: by its pixels, or so close in
    ResNet50's space that the ranker takes it for the query's own photo and would know its labels.
    """

    def __init__(self, catalogue: Catalogue, embedded: Embedded, *, with_group: bool) -> None:
        count = len(catalogue.products)
        owners = np.repeat(np.arange(count), [len(product.photos) for product in catalogue.products])
        pairs = {(int(owners[a]), int(owners[b])) for a, b in _doubles(embedded) if owners[a] != owners[b]}
        self.doubles = len({(min(pair), max(pair)) for pair in pairs})
        self._others: list[set[int]] = [set() for _ in range(count)]
        for a, b in pairs:
            self._others[a].add(b)
            self._others[b].add(a)
        if with_group:
            _add_groups(self._others, catalogue.codes(GROUP))

    def of_photo(self, product: int) -> Rows:
        """Of a product's photo, ascending: its own product too."""
        return _rows({product} | self._others[product])

    def of_text(self, product: int) -> Rows:
        """Of a product's title, to which the product itself is the answer; ascending."""
        return _rows(self._others[product] - {product})


def _doubles(embedded: Embedded) -> Iterator[tuple[int, int]]:
    yield from pictures.same_pictures(embedded.thumbnails)
    if SAME_PHOTO_SPACE in embedded.vectors:
        yield from _close(embedded.vectors[SAME_PHOTO_SPACE])


def _close(vectors: Vectors) -> Iterator[tuple[int, int]]:
    for start in range(0, len(vectors), _CHUNK):
        cosines = vectors[start : start + _CHUNK] @ vectors.T
        for row, other in zip(*np.nonzero(cosines >= SAME_PHOTO_COSINE), strict=True):
            if start + row < other:
                yield start + int(row), int(other)


def _add_groups(others: list[set[int]], groups: Rows) -> None:
    members: dict[int, set[int]] = {}
    for product, group in enumerate(groups.tolist()):
        if group >= 0:
            members.setdefault(group, set()).add(product)
    for group_members in members.values():
        for product in group_members:
            others[product] |= group_members - {product}


def _rows(products: Iterable[int]) -> Rows:
    return np.array(sorted(products), dtype=np.int64)

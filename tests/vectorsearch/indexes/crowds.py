"""A shard of many products with approximate indexes, and what an exhaustive search of them finds."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import faiss
import numpy as np
import numpy.typing as npt

from services.vectorsearch.changes import Deleted, Embedding, Photo, Written
from services.vectorsearch.columns import Facts, Mask
from services.vectorsearch.filters import Between, Condition, Filter
from services.vectorsearch.indexes.building import Key
from services.vectorsearch.indexes.indexing import Indexing, IndexState
from services.vectorsearch.indexes.kinds import Kinds
from services.vectorsearch.kernels import Floats, Indices
from services.vectorsearch.rows import CatalogRows
from services.vectorsearch.search import Found, Query, SpaceQuery, search
from services.vectorsearch.shard import Shard
from services.vectorsearch.views import view_of
from tests.vectorsearch.indexes import sources

SEGMENT = 1000
# Builds give way to all else that the machine does.
WAIT_S = 300


def product_id(number: int) -> str:
    return f"p{number:06d}"


def number_of(its_product_id: str) -> int:
    return int(its_product_id[1:])


def rank(number: int) -> float:
    """An attribute that has nothing to do with the vectors: evenly from 0 to below 1, in no order."""
    return number * 0.6180339887 % 1


@dataclass
class Crowd:
    """Products of one photo each in a real shard, which are also kept here: by space, number -> vector."""

    shard: Shard
    indexing: Indexing
    revision: int = 0
    held: dict[str, dict[int, Floats]] = field(default_factory=dict)
    # By space the numbers and vectors of those held, float64; made anew after a write.
    _columns: dict[str, tuple[Indices, npt.NDArray[np.float64]]] = field(default_factory=dict)

    @property
    def rows(self) -> CatalogRows:
        rows = self.shard.rows("shop", "g1")
        assert rows is not None
        return rows

    def write(self, first: int, **vectors: Floats) -> None:
        """Write products from this number on, with vectors float32 [n, d] by space."""
        changes = []
        self._columns.clear()
        for place in range(len(next(iter(vectors.values())))):
            self.revision += 1
            embeddings = {space: Embedding(f"model-{space}", each[place]) for space, each in vectors.items()}
            number = first + place
            changes.append(
                Written(
                    "shop",
                    product_id(number),
                    self.revision,
                    "g1",
                    (Photo("front", embeddings),),
                    Facts({"rank": [rank(number)]}),
                )
            )
            for its in self.held.values():
                its.pop(number, None)
            for space, each in vectors.items():
                self.held.setdefault(space, {})[number] = each[place]
        assert not self.shard.apply(changes)

    def delete(self, numbers: Iterable[int]) -> None:
        changes = []
        self._columns.clear()
        for number in numbers:
            self.revision += 1
            changes.append(Deleted("shop", product_id(number), self.revision))
            for its in self.held.values():
                its.pop(number, None)
        self.shard.apply(changes)

    def look(self) -> None:
        """Look what is due, and wait until it is built."""
        self.indexing.look()
        self.wait()

    def wait(self) -> None:
        """Until nothing is being built."""
        give_up_at = time.monotonic() + WAIT_S
        while any(state.building for state in self.indexing.states().values()):
            assert time.monotonic() < give_up_at
            time.sleep(0.005)

    def state(self, space: str = "clip") -> IndexState:
        return self.indexing.states()[Key("shop", "g1", space)]

    def passing(self, below: float) -> Mask:
        """Those whose rank is below this, bool [slots]."""
        narrowed = Filter(((Condition("rank", Between(maximum=np.nextafter(below, 0))),),))
        return narrowed.passing(self.rows.columns, self.rows.searchable)

    def search(self, *queries: Query) -> list[Found]:
        return search(view_of(self.rows, [each.space for each in queries[0].spaces]), queries)

    def best(self, spaces: Iterable[SpaceQuery], limit: int, below: float = 1.0) -> list[int]:
        """The numbers of the best products by float64; all have the same spaces."""
        numbers: Indices = np.empty(0, dtype=np.int64)
        scores: npt.NDArray[np.float64] = np.zeros(1)
        for each in spaces:
            numbers, vectors = self._column(each.space)
            scores = scores + each.weight * (vectors @ each.vector.astype(np.float64))
        order = np.lexsort((numbers, -np.rint(scores * 1e6)))
        found = [number for number in numbers[order].tolist() if rank(number) < below]
        return found[:limit]

    def _column(self, space: str) -> tuple[Indices, npt.NDArray[np.float64]]:
        if space not in self._columns:
            its = self.held[space]
            self._columns[space] = (np.array(list(its)), np.stack(list(its.values())).astype(np.float64))
        return self._columns[space]


@contextmanager
def crowd(kinds: str, products: int = 0, *, auto_flat_rows: int = 1_000_000) -> Iterator[Crowd]:
    """A shard of so many products that have a vector in the space `clip`; nothing was looked at yet."""
    its = Kinds.parse(kinds, auto_flat_rows=auto_flat_rows)
    shard = Shard(segment_rows=SEGMENT, precision_of=its.precision_of)
    indexing = Indexing(shard, its)
    made = Crowd(shard, indexing)
    # As searches of a server have it; on a busy machine more are slower.
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        if products:
            made.write(0, clip=sources.vectors(products, seed=1))
        yield made
    finally:
        indexing.stop()
        faiss.omp_set_num_threads(threads)


def asks(vectors: Mapping[str, Floats], *, weights: Mapping[str, float] | None = None) -> list[SpaceQuery]:
    """A query of vectors float32 [d] by space."""
    return [
        SpaceQuery(space, vector, (weights or {}).get(space, 1.0), 0.4) for space, vector in vectors.items()
    ]


def numbers_of(found: Found) -> Indices:
    return np.array([number_of(each) for each in found.product_ids], dtype=np.int64)

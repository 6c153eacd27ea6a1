"""What searching a space costs in the exact core of a shard, in this process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from services.embedder.towers import Space
from services.trainer.evaluation.catalogue import Catalogue
from services.trainer.evaluation.embedding import Vectors

_SEARCHES = 200
_WARM_UP = 20
_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Latency:
    """How long one query takes, in milliseconds."""

    p50: float
    p95: float

    @classmethod
    def of(cls, durations_s: Sequence[float]) -> Latency:
        """Of measured durations, one at least."""
        p50, p95 = np.percentile(np.asarray(durations_s) * 1e3, [50, 95]).tolist()
        return cls(round(p50, 3), round(p95, 3))


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one space: bytes of its vectors as float32, all bytes that a shard holds for it, and its latency."""

    vector_bytes: int
    index_bytes: int
    query_ms: Latency


def measure(catalogue: Catalogue, space: Space, vectors: Vectors, queries: Vectors) -> Cost | None:
    """The cost of searching `vectors`, float32 [photos, dim], for the first of `queries`, one by one.

    The rows are held as a shard holds them by default, and searched by one thread. None where vectorsearch
    is not installed.
    """
    try:
        import faiss  # noqa: PLC0415 - an extra of its own, which an evaluation can do without

        from services.vectorsearch.changes import Embedding, Photo  # noqa: PLC0415 - as above
        from services.vectorsearch.columns import Facts  # noqa: PLC0415 - as above
        from services.vectorsearch.indexes.kinds import Kinds  # noqa: PLC0415 - as above
        from services.vectorsearch.rows import SEGMENT_ROWS, CatalogRows  # noqa: PLC0415 - as above
        from services.vectorsearch.search import Query, SpaceQuery, search  # noqa: PLC0415 - as above
        from services.vectorsearch.views import view_of  # noqa: PLC0415 - as above
    except ModuleNotFoundError:
        return None
    rows = CatalogRows(
        # A catalogue smaller than a segment is not charged for the empty rest of it.
        segment_rows=min(SEGMENT_ROWS, len(vectors)),
        precision_of=Kinds.parse("auto").precision_of,
    )
    start = 0
    for product in catalogue.products:
        end = start + len(product.photos)
        photos = tuple(
            Photo(f"{row - start}", {space.name: Embedding(space.digest, vectors[row])})
            for row in range(start, end)
        )
        rows.write(product.product_id, 1, photos, Facts())
        start = end
    rows.pack()
    view = view_of(rows, [space.name])

    def timed_s(query: Query) -> float:
        start_s = time.perf_counter()
        search(view, [query])
        return time.perf_counter() - start_s

    asked = [
        Query([SpaceQuery(space.name, queries[turn % len(queries)], 1.0, 0.0)], _LIMIT)
        for turn in range(_WARM_UP + _SEARCHES)
    ]
    # A thread of its own, so that the others keep their OpenMP threads.
    with ThreadPoolExecutor(1, initializer=faiss.omp_set_num_threads, initargs=(1,)) as searcher:
        durations_s = list(searcher.map(timed_s, asked))
    return Cost(rows.live_bytes, rows.memory_bytes, Latency.of(durations_s[_WARM_UP:]))

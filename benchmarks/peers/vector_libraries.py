"""Vector search libraries as one uses them plainly: built from all rows, then searched."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

# Recall at which graphs are compared, and the breadths of search that are tried for it.
WANTED_RECALL = 0.99
BREADTHS = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024)

_LINKS = 16
_BUILD_BREADTH = 200
_INSERTED_AT_ONCE = 1000
# How many times as many rows are found as should be enough, where only what is found can be filtered.
_OVERFETCH = 4


class Library(Protocol):
    """Rows that were given in the beginning, by number; some of them pass the one filter there is."""

    def search(self, query: Floats, limit: int, *, filtered: bool) -> Sequence[int]:
        """The best rows for float32 [d], best first."""

    def search_many(self, queries: Floats, limit: int) -> npt.NDArray[np.int64]:
        """The best rows for each of float32 [n, d]: [n, limit], in the library's fastest way."""


class Graph(Library, Protocol):
    """A library whose recall depends on how broadly it searches."""

    def widen(self, breadth: int) -> None:
        """Search with another breadth."""


class FaissFlat:
    """FAISS's flat index, filtered by a bitmap."""

    def __init__(self, rows: Floats, passing: Mask) -> None:
        self._faiss: Any = importlib.import_module("faiss")
        self._index = self._faiss.IndexFlatIP(rows.shape[1])
        self._index.add(rows)
        self._bits = np.packbits(passing, bitorder="little")
        self._count = len(rows)

    def search(self, query: Floats, limit: int, *, filtered: bool) -> Sequence[int]:
        """See Library."""
        chosen = {}
        if filtered:
            bitmap = self._faiss.IDSelectorBitmap(self._count, self._faiss.swig_ptr(self._bits))
            chosen = {"params": self._faiss.SearchParameters(sel=bitmap)}
        _, found = self._index.search(query[None], limit, **chosen)
        return [row for row in found[0].tolist() if row >= 0]

    def search_many(self, queries: Floats, limit: int) -> npt.NDArray[np.int64]:
        """See Library."""
        found: npt.NDArray[np.int64] = self._index.search(queries, limit)[1]
        return found


class Hnswlib:
    """hnswlib's graph, or its exhaustive index; filtered by a function of ours, as its binding wants it."""

    def __init__(self, rows: Floats, passing: Mask, *, exact: bool) -> None:
        hnswlib: Any = importlib.import_module("hnswlib")
        if exact:
            self._index = hnswlib.BFIndex("ip", rows.shape[1])
            self._index.init_index(len(rows))
        else:
            self._index = hnswlib.Index("ip", rows.shape[1])
            self._index.init_index(len(rows), M=_LINKS, ef_construction=_BUILD_BREADTH)
        self._index.add_items(rows, np.arange(len(rows)))
        self._passes = passing.tolist().__getitem__
        self._alone = {} if exact else {"num_threads": 1}

    def search(self, query: Floats, limit: int, *, filtered: bool) -> Sequence[int]:
        """See Library."""
        chosen = {"filter": self._passes} if filtered else {}
        labels, _ = self._index.knn_query(query, limit, **chosen, **self._alone)
        return [int(label) for label in labels[0]]

    def search_many(self, queries: Floats, limit: int) -> npt.NDArray[np.int64]:
        """See Library."""
        return np.asarray(self._index.knn_query(queries, limit)[0], dtype=np.int64)

    def widen(self, breadth: int) -> None:
        """See Graph."""
        self._index.set_ef(breadth)


class Usearch:
    """USearch, by its graph or exhaustively. Its binding has no filter: more are found and picked from."""

    def __init__(self, rows: Floats, passing: Mask, *, exact: bool) -> None:
        module: Any = importlib.import_module("usearch.index")
        self._index = module.Index(ndim=rows.shape[1], metric="ip", dtype="f32", connectivity=_LINKS)
        if exact:
            self._search = partial(module.search, rows, metric=module.MetricKind.IP, exact=True)
        else:
            self._index.add(np.arange(len(rows)), rows)
            self._search = self._index.search
        self._passing = passing
        self._overfetch = min(len(rows), round(_OVERFETCH / max(passing.mean(), 1 / len(rows))))

    def search(self, query: Floats, limit: int, *, filtered: bool) -> Sequence[int]:
        """See Library."""
        count = limit * self._overfetch if filtered else limit
        keys = self._search(query, count=count, threads=1).keys
        if filtered:
            keys = keys[self._passing[keys]][:limit]
        return [int(key) for key in keys]

    def search_many(self, queries: Floats, limit: int) -> npt.NDArray[np.int64]:
        """See Library."""
        return np.asarray(self._search(queries, count=limit).keys, dtype=np.int64)

    def widen(self, breadth: int) -> None:
        """See Graph."""
        self._index.expansion_search = breadth


class QdrantLocal:
    """qdrant-client's local mode, which is exhaustive, in memory."""

    def __init__(self, rows: Floats, passing: Mask) -> None:
        client: Any = importlib.import_module("qdrant_client")
        self._models = client.models
        self._client = client.QdrantClient(":memory:")
        size = self._models.VectorParams(size=rows.shape[1], distance=self._models.Distance.DOT)
        self._client.create_collection("bench", vectors_config=size)
        payload = [{"in": bool(passes)} for passes in passing]
        self._client.upload_collection("bench", vectors=rows, payload=payload, ids=range(len(rows)))
        match = self._models.FieldCondition(key="in", match=self._models.MatchValue(value=True))
        self._filter = self._models.Filter(must=[match])

    def search(self, query: Floats, limit: int, *, filtered: bool) -> Sequence[int]:
        """See Library."""
        chosen = self._filter if filtered else None
        answer = self._client.query_points(
            "bench", query=query, limit=limit, query_filter=chosen, with_payload=False
        )
        return [int(point.id) for point in answer.points]

    def search_many(self, queries: Floats, limit: int) -> npt.NDArray[np.int64]:
        """See Library."""
        wanted = [self._models.QueryRequest(query=query.tolist(), limit=limit) for query in queries]
        answers = self._client.query_batch_points("bench", requests=wanted)
        return np.array([[point.id for point in answer.points] for answer in answers], dtype=np.int64)


class MilvusLite:
    """Milvus Lite with an exhaustive index, in a file."""

    def __init__(self, rows: Floats, passing: Mask) -> None:
        module: Any = importlib.import_module("pymilvus")
        self._folder = tempfile.TemporaryDirectory()
        self._client = module.MilvusClient(str(Path(self._folder.name) / "bench.db"))
        schema = module.MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", module.DataType.INT64, is_primary=True)
        schema.add_field("vector", module.DataType.FLOAT_VECTOR, dim=rows.shape[1])
        schema.add_field("passes", module.DataType.BOOL)
        index = self._client.prepare_index_params()
        index.add_index(field_name="vector", index_type="FLAT", metric_type="IP")
        self._client.create_collection("bench", schema=schema, index_params=index)
        for start in range(0, len(rows), _INSERTED_AT_ONCE):
            part = range(start, min(start + _INSERTED_AT_ONCE, len(rows)))
            written = [{"id": row, "vector": rows[row], "passes": bool(passing[row])} for row in part]
            self._client.insert("bench", written)
        self._client.flush("bench")
        self._client.load_collection("bench")

    def search(self, query: Floats, limit: int, *, filtered: bool) -> Sequence[int]:
        """See Library."""
        (hits,) = self._found([query], limit, "passes == true" if filtered else "")
        return hits

    def search_many(self, queries: Floats, limit: int) -> npt.NDArray[np.int64]:
        """See Library."""
        return np.array(self._found(list(queries), limit, ""), dtype=np.int64)

    def _found(self, queries: list[Floats], limit: int, narrowed: str) -> list[list[int]]:
        answers = self._client.search(
            "bench", data=queries, limit=limit, filter=narrowed, output_fields=["id"]
        )
        return [[int(hit["id"]) for hit in hits] for hits in answers]


@dataclass(frozen=True, slots=True)
class Make:
    """How a library is filled with rows and told which of them pass, and the name of its package."""

    package: str
    build: Callable[[Floats, Mask], Library]
    is_graph: bool = False


LIBRARIES = {
    "faiss_naive": Make("faiss", FaissFlat),
    "hnswlib_exact": Make("hnswlib", partial(Hnswlib, exact=True)),
    "usearch_exact": Make("usearch", partial(Usearch, exact=True)),
    "qdrant_local": Make("qdrant_client", QdrantLocal),
    "milvus_lite": Make("milvus_lite", MilvusLite),
    "hnswlib_hnsw": Make("hnswlib", partial(Hnswlib, exact=False), is_graph=True),
    "usearch_hnsw": Make("usearch", partial(Usearch, exact=False), is_graph=True),
}

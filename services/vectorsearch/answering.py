"""Searches of many callers answered together: planned under the lock, searched without it, put into words."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import faiss
import numpy as np

from services.mesh.errors import FailedPrecondition, VitrineError
from services.mesh.stages import StageClock
from services.vectorsearch import wire
from services.vectorsearch.columns import Columns, Mask, Slots
from services.vectorsearch.filters import Passing
from services.vectorsearch.lanes import Lanes
from services.vectorsearch.requests import Kind, Search
from services.vectorsearch.rows import CatalogRows
from services.vectorsearch.search import Cap, Found, Query, search
from services.vectorsearch.shard import Shard
from services.vectorsearch.views import view_of
from vitrine.v1 import common_pb2, vectorsearch_pb2


@dataclass(frozen=True, slots=True)
class _Planned:
    """A search that may begin, and what could be said of it at once."""

    search: Search
    query: Query
    facets: list[common_pb2.Facet]
    unknown_attributes: list[str]


class Answerer:
    """Answers searches of one kind at a time, in whatever thread calls."""

    def __init__(self, shard: Shard, lanes: Lanes) -> None:
        self._shard = shard
        self._lanes = lanes

    def answer(
        self, kind: Kind, searches: Sequence[Search]
    ) -> list[vectorsearch_pb2.SearchVectorsResponse | VitrineError]:
        """The answer of each search, or why there is none."""
        # OpenMP keeps the number of helpers for each thread that calls it; `lanes` are all the help there is.
        faiss.omp_set_num_threads(1)
        started_at = time.perf_counter()
        catalog, generation, spaces = kind
        with self._shard.reading():
            rows = rows_of(self._shard, catalog, generation)
            planned = [_planned(rows, each) for each in searches]
            view = view_of(rows, [space for space, _ in spaces])
            revision = self._shard.revision
        going = [each for each in planned if isinstance(each, _Planned)]
        planned_at = time.perf_counter()
        found = search(view, [each.query for each in going], run=self._lanes.run) if going else []
        clock = StageClock()
        clock.record("filter", planned_at - started_at)
        clock.record("search", time.perf_counter() - planned_at)
        with self._shard.reading():
            answers = iter(
                [_response(rows, each, its, revision, clock) for each, its in zip(going, found, strict=True)]
            )
        return [each if isinstance(each, VitrineError) else next(answers) for each in planned]


def rows_of(shard: Shard, catalog: str, generation: str) -> CatalogRows:
    """The rows of a catalogue in a generation. To be called under the shard's lock.

    Raises FailedPrecondition (MODEL_MISMATCH) when there are only rows of other generations.
    """
    rows = shard.rows(catalog, generation)
    if rows is not None:
        return rows
    if shard.holds_other_generation(catalog, generation):
        raise FailedPrecondition(f"there are no rows of generation {generation}", reason="MODEL_MISMATCH")
    # A shard may well have no product of a catalogue: that is for the caller, who sees all shards, to judge.
    return CatalogRows()


def unknown(columns: Columns, attributes: Sequence[str], labels: Sequence[str] = ()) -> list[str]:
    """Those that no product ever had, each once."""
    names = [name for name in attributes if columns.get(name) is None]
    names += [name for name in labels if not columns.knows_label(name)]
    return list(dict.fromkeys(names))


def _planned(rows: CatalogRows, each: Search) -> _Planned | VitrineError:
    request = each.request
    try:
        queries = wire.comparable(each.queries, rows.spaces)
    except VitrineError as error:
        return error
    excluded = [
        product
        for product_id in dict.fromkeys(request.exclude_product_ids)
        if (product := rows.products.get(product_id))
    ]
    passing = None
    facets = []
    if each.narrowed.all_of or request.facet_attributes:
        among = rows.searchable.copy()
        among[[product.slot for product in excluded]] = False
        tested = Passing(each.narrowed, rows.columns, among)
        passing = tested.every_clause
        facets = wire.facets(rows.columns, _counted(tested, request))
    query = Query(
        queries,
        request.limit,
        passing=passing if each.narrowed.all_of else None,
        excluded=frozenset(product.slot for product in excluded),
        excluded_rows=sum(len(product.rows) for product in excluded),
        min_score=request.min_score if request.HasField("min_score") else -np.inf,
        cap=_cap(rows, request, passing),
        approximately=not request.exact,
    )
    attributes = [*each.narrowed.attributes(), *request.facet_attributes]
    if request.HasField("group_by"):
        attributes.append(request.group_by.attribute)
    return _Planned(each, query, facets, unknown(rows.columns, attributes, request.label_names))


def _counted(passing: Passing, request: vectorsearch_pb2.SearchVectorsRequest) -> list[tuple[str, Mask]]:
    """Among which products each facet is counted."""
    if request.disjunctive_facets:
        return [(attribute, passing.beside(attribute)) for attribute in request.facet_attributes]
    return [(attribute, passing.every_clause) for attribute in request.facet_attributes]


def _cap(
    rows: CatalogRows, request: vectorsearch_pb2.SearchVectorsRequest, passing: Mask | None
) -> Cap | None:
    if not request.HasField("group_by"):
        return None
    column = rows.columns.get(request.group_by.attribute)
    if column is None:
        return None
    codes, _ = column.first(np.arange(len(rows.product_ids)))
    return Cap.of(codes, request.group_by.size, rows.searchable if passing is None else passing)


def _slots(rows: CatalogRows, found: Found) -> Slots:
    """Where the products found are now, 0 for one that is gone: mostly where they were found."""
    held = rows.product_ids
    if all(held[slot] == id_ for slot, id_ in zip(found.slots.tolist(), found.product_ids, strict=True)):
        return found.slots
    products = (rows.products.get(product_id) for product_id in found.product_ids)
    return np.array([product.slot if product else 0 for product in products], dtype=np.int64)


def _response(
    rows: CatalogRows, each: _Planned, found: Found, revision: int, clock: StageClock
) -> vectorsearch_pb2.SearchVectorsResponse:
    """The answer in words. Labels and vectors are those of now, none of what has gone meanwhile."""
    request = each.search.request
    slots = _slots(rows, found)
    labels = [rows.columns.labels(name, slots) for name in request.label_names]
    vectors = None
    if request.vectors_limit:
        photos = list(zip(found.product_ids, found.photo_ids, strict=True))[: request.vectors_limit]
        vectors = wire.candidate_vectors(rows, request.vector_space, photos)
    return vectorsearch_pb2.SearchVectorsResponse(
        candidates=wire.candidates(found, each.query.spaces, labels, vectors),
        facets=each.facets,
        revision=revision,
        plan=found.plan,
        rows_passed=found.rows_passed,
        stages=clock.timings,
        unknown_attributes=each.unknown_attributes,
    )

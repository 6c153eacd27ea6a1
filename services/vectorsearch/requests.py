"""A search as its caller asked for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.vectorsearch.filters import Filter
from services.vectorsearch.search import SpaceQuery
from vitrine.v1 import vectorsearch_pb2

# What searches must have in common to be worked on together: catalogue, generation, spaces and their
# dimensions.
Kind = tuple[str, str, tuple[tuple[str, int], ...]]


@dataclass(frozen=True, slots=True)
class Search:
    """A request that was found to be well-formed: its queries with their models' digests, and its filter."""

    request: vectorsearch_pb2.SearchVectorsRequest
    queries: Sequence[tuple[SpaceQuery, str]]
    narrowed: Filter

    @property
    def kind(self) -> Kind:
        """See Kind."""
        spaces = tuple((query.space, len(query.vector)) for query, _ in self.queries)
        return self.request.catalog, self.request.generation, spaces

    @property
    def size_bytes(self) -> int:
        """About what it takes up while it waits."""
        return self.request.ByteSize()

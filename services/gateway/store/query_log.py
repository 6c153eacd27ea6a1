"""Where answered searches and what people made of them are kept for a while."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from vitrine.v1 import queries_pb2

MAX_FEEDBACK = 1_000
"""Of a query: as many products as a search shows on all its pages. What comes after changes nothing."""

QueryPosition = tuple[int, str]
"""Time in milliseconds and query id: the order of queries, newest first, ties by id."""


@dataclass(frozen=True, slots=True)
class QueryRange:
    """Which queries of a catalogue: from `start_ms` up to but without `end_ms`."""

    catalog: str
    start_ms: int
    end_ms: int
    zero_results_only: bool = False


class QueryStore(Protocol):
    """Raises Unavailable (STORE_UNAVAILABLE) when the database cannot be reached."""

    async def add(self, catalog: str, queries: Sequence[queries_pb2.LoggedQuery]) -> None:
        """Keep queries; one of a known id changes nothing."""

    async def add_feedback(self, catalog: str, query_id: str, feedback: queries_pb2.Feedback) -> bool:
        """Keep a feedback, the first for each product and kind; False when there is no such query."""

    async def queries(
        self, wanted: QueryRange, after: QueryPosition | None, limit: int
    ) -> Sequence[queries_pb2.LoggedQuery]:
        """Queries with their feedback, the newest first, after one."""

    async def forget(self, before_ms: int, limit: int) -> int:
        """Remove the oldest queries before a time, with their feedback: how many, `limit` at most."""

"""The log of answered searches, and what people made of their hits."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from typing import Literal

import structlog
from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway import metrics, paging
from services.gateway.directory import CatalogDirectory
from services.gateway.query_stats import QuerySums
from services.gateway.store.query_log import QueryPosition, QueryRange, QueryStore
from services.mesh import deadline, names
from services.mesh.backoff import Backoff
from services.mesh.errors import InvalidArgument, NotFound
from vitrine.v1 import queries_pb2 as pb

_log = structlog.get_logger()

# Of searches that are not written yet; beyond that the oldest are forgotten.
MAX_WAITING = 10_000
MAX_BATCH = 500
# Other gateways know a query after about this long.
FLUSH_EVERY_S = 0.5
LONGEST_PAUSE_S = 30.0
CLOSE_TIMEOUT_S = 5.0

TRIM_EVERY_S = 600.0
TRIM_BATCH = 500
# Between two bites, for others who write.
TRIM_PAUSE_S = 0.1

MAX_PAGE = 1_000
DEFAULT_PAGE = 100
MAX_PLACE = 1_000_000
# Sums are over the newest so many queries of a time, read so many at once.
MAX_SUMMED = 200_000
SUMMED_PAGE = 500

_DAY_MS = 86_400_000
_QUERY_ID = re.compile(r"[0-9a-f]{16}")
_POSITION = re.compile(r"([0-9]{1,15}) ([0-9a-f]{16})")
# The years 1 to 9999, which is what a Timestamp may hold.
_FIRST_S, _LAST_S = -62_135_596_800, 253_402_300_799
_END_MS = (_LAST_S + 1) * 1_000


class QueryLog:
    """Takes answered searches at once and writes them a little later, many together; keeps them `days` days.

    With 0 days nothing is taken, and what there was is removed.
    """

    def __init__(self, store: QueryStore, *, days: int) -> None:
        self._store = store
        self._days = days
        self._waiting: dict[tuple[str, str], pb.LoggedQuery] = {}
        self._filled = asyncio.Event()
        self._writing = asyncio.Lock()

    @property
    def is_on(self) -> bool:
        """Whether anything is kept."""
        return self._days > 0

    def record(self, catalog: str, query: pb.LoggedQuery) -> None:
        """Take a query. It never fails and never waits."""
        if not self.is_on:
            return
        if len(self._waiting) >= MAX_WAITING:
            del self._waiting[next(iter(self._waiting))]
            metrics.QUERY_LOG.labels("dropped").inc()
        self._waiting[catalog, query.query_id] = query
        self._filled.set()

    def holds(self, catalog: str, query_id: str) -> bool:
        """Whether a query is not written yet."""
        return (catalog, query_id) in self._waiting

    async def flush(self) -> None:
        """Write what waits; raises Unavailable (STORE_UNAVAILABLE), and then it goes on waiting."""
        async with self._writing:
            left = len(self._waiting)
            while left > 0 and self._waiting:
                batch = list(islice(self._waiting.items(), MAX_BATCH))
                left -= len(batch)
                await self._write(batch)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write and forget meanwhile; what waits at the end is written, unless that takes too long."""
        tasks = [asyncio.create_task(self._flush_on()), asyncio.create_task(self._trim_on())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._flush_last()

    async def _write(self, batch: list[tuple[tuple[str, str], pb.LoggedQuery]]) -> None:
        by_catalog: dict[str, list[pb.LoggedQuery]] = {}
        for (catalog, _), query in batch:
            by_catalog.setdefault(catalog, []).append(query)
        for catalog, queries in by_catalog.items():
            await self._store.add(catalog, queries)
            for query in queries:
                # One that has been dropped meanwhile was counted as such.
                if self._waiting.pop((catalog, query.query_id), None) is not None:
                    metrics.QUERY_LOG.labels("kept").inc()

    async def _flush_on(self) -> None:
        backoff = Backoff(initial_s=1.0, max_s=LONGEST_PAUSE_S, jitter=0.2)
        while True:
            await self._filled.wait()
            self._filled.clear()
            await asyncio.sleep(FLUSH_EVERY_S)
            try:
                await self.flush()
            # Whatever is wrong with the log, searches are answered; what waits is bounded.
            except Exception as error:  # noqa: BLE001 - see the line above
                _log.warning("query log not written", error=repr(error), waiting=len(self._waiting))
                self._filled.set()
                await asyncio.sleep(backoff.next_s())
            else:
                backoff.reset()

    async def _flush_last(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self.flush()
        # The process ends anyway.
        except Exception as error:  # noqa: BLE001 - see the line above
            _log.warning("query log lost", error=repr(error), queries=len(self._waiting))
            metrics.QUERY_LOG.labels("dropped").inc(len(self._waiting))

    async def _trim_on(self) -> None:
        while True:
            try:
                await self._trim()
            # As above; the next round comes.
            except Exception as error:  # noqa: BLE001 - see the line above
                _log.warning("query log not trimmed", error=repr(error))
            await asyncio.sleep(TRIM_EVERY_S)

    async def _trim(self) -> None:
        forgotten = TRIM_BATCH
        while forgotten == TRIM_BATCH:
            forgotten = await self._store.forget(_now_ms() - self._days * _DAY_MS, TRIM_BATCH)
            await asyncio.sleep(TRIM_PAUSE_S)


class QueryLogFlow:
    """Answers QueryService; messages in and out, domain errors as queries.proto lists them."""

    def __init__(self, *, store: QueryStore, log: QueryLog, directory: CatalogDirectory) -> None:
        self._store = store
        self._log = log
        self._directory = directory

    async def record_feedback(self, request: pb.RecordFeedbackRequest) -> pb.RecordFeedbackResponse:
        """Keep what somebody made of a hit.

        A query that another gateway has answered within the last second may not be known here yet.
        """
        catalog = names.parse_catalog(request.catalog, "catalog")
        if not _QUERY_ID.fullmatch(request.query_id):
            raise InvalidArgument("query_id", "is not a query id")
        feedback = pb.Feedback(
            product=_product_id(catalog, request.product), kind=_kind(request.kind), place=request.place
        )
        if not 0 <= request.place <= MAX_PLACE:
            raise InvalidArgument("place", f"must be 1 to {MAX_PLACE}, or 0 when unknown")
        feedback.time.FromMilliseconds(_now_ms())
        await self._directory.get(catalog)
        if not self._log.is_on:
            return pb.RecordFeedbackResponse()
        if self._log.holds(catalog, request.query_id):
            await self._log.flush()
        if not await self._store.add_feedback(catalog, request.query_id, feedback):
            raise NotFound(f"no query {request.query_id} is kept", reason="QUERY_UNKNOWN")
        return pb.RecordFeedbackResponse()

    async def list_queries(self, request: pb.ListQueriesRequest) -> pb.ListQueriesResponse:
        """List queries, the newest first; those of this gateway up to now, of others up to a moment ago."""
        catalog = names.parse_catalog(request.parent, "parent")
        size = paging.page_size(request.page_size, default=DEFAULT_PAGE, most=MAX_PAGE)
        start_ms = _time_ms(request, "start_time", 0)
        end_ms = _time_ms(request, "end_time", _END_MS)
        _check_order(start_ms, end_ms)
        listing = f"{request.parent}/queries {start_ms} {end_ms} {request.zero_results_only}"
        after = _position(paging.decode_after(listing, request.page_token))
        wanted = await self._range(catalog, start_ms, end_ms, zero_results_only=request.zero_results_only)
        if not self._log.is_on:
            return pb.ListQueriesResponse()
        await self._log.flush()
        found = await self._store.queries(wanted, after, size + 1)
        return pb.ListQueriesResponse(
            queries=found[:size],
            next_page_token=paging.encode_after(listing, _token(found[size - 1]))
            if len(found) > size
            else "",
        )

    async def query_stats(self, request: pb.QueryStatsRequest) -> pb.QueryStatsResponse:
        """Sum up the queries of a time, by default the 24 hours before its end: the newest MAX_SUMMED."""
        catalog = names.parse_catalog(request.parent, "parent")
        end_ms = _time_ms(request, "end_time", _now_ms() + 1)
        start_ms = _time_ms(request, "start_time", end_ms - _DAY_MS)
        _check_order(start_ms, end_ms)
        wanted = await self._range(catalog, start_ms, end_ms)
        sums = QuerySums()
        if self._log.is_on:
            await self._log.flush()
            await self._add(sums, wanted)
        return sums.response()

    async def _add(self, sums: QuerySums, wanted: QueryRange) -> None:
        after: QueryPosition | None = None
        while sums.count < MAX_SUMMED:
            # Raises once the deadline has passed: nobody waits for the rest.
            deadline.remaining_s(0.0)
            page = await self._store.queries(wanted, after, min(SUMMED_PAGE, MAX_SUMMED - sums.count))
            if not page:
                return
            sums.add(page)
            after = page[-1].time.ToMilliseconds(), page[-1].query_id

    async def _range(
        self, catalog: str, start_ms: int, end_ms: int, *, zero_results_only: bool = False
    ) -> QueryRange:
        """Raises NotFound for a catalogue that there is not; what is older than it was of another one."""
        record = await self._directory.get(catalog)
        return QueryRange(
            catalog, max(start_ms, record.create_time_ms), end_ms, zero_results_only=zero_results_only
        )


def _product_id(catalog: str, product: str) -> str:
    if "/" not in product:
        return names.check_product_id(product, "product")
    of, product_id = names.parse_product(product, "product")
    if of != catalog:
        raise InvalidArgument("product", "is of another catalogue")
    return product_id


def _kind(kind: pb.FeedbackKind.ValueType) -> pb.FeedbackKind.ValueType:
    if kind == pb.FEEDBACK_KIND_UNSPECIFIED or kind not in pb.FeedbackKind.values():
        raise InvalidArgument("kind", "must say what was made of the hit")
    return kind


def _time_ms(
    request: pb.ListQueriesRequest | pb.QueryStatsRequest,
    field: Literal["start_time", "end_time"],
    absent_ms: int,
) -> int:
    if not request.HasField(field):
        return absent_ms
    given: Timestamp = getattr(request, field)
    if not (_FIRST_S <= given.seconds <= _LAST_S and 0 <= given.nanos < 1_000_000_000):
        raise InvalidArgument(field, "is not a time")
    return given.ToMilliseconds()


def _check_order(start_ms: int, end_ms: int) -> None:
    if end_ms < start_ms:
        raise InvalidArgument("end_time", "is before start_time")


def _token(query: pb.LoggedQuery) -> str:
    return f"{query.time.ToMilliseconds()} {query.query_id}"


def _position(token: str) -> QueryPosition | None:
    if not token:
        return None
    found = _POSITION.fullmatch(token)
    if found is None:
        raise InvalidArgument(paging.FIELD, "is not a page token of queries")
    return int(found[1]), found[2]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

"""The query log, and what people made of hits."""

from __future__ import annotations

from datetime import datetime

from services.mesh.errors import InvalidArgument
from vitrine.client import query_log
from vitrine.client.moments import timestamp
from vitrine.client.operations.operation import Operation, Page, Timeouts, catalog_name
from vitrine.client.query_log import FeedbackKind, LoggedQuery, QueryStats
from vitrine.v1 import queries_pb2


def feedback(
    catalog: str, timeouts: Timeouts, /, query_id: str, product_id: str, kind: FeedbackKind, *, place: int = 0
) -> Operation[queries_pb2.RecordFeedbackResponse, None]:
    """Record what somebody made of a hit: that of `place`, from 1, of the query that `query_id` names."""
    if kind not in query_log.FEEDBACK_KINDS:
        raise InvalidArgument("kind", f"is one of {', '.join(query_log.FEEDBACK_KINDS)}")
    return Operation(
        "/vitrine.v1.QueryService/RecordFeedback",
        queries_pb2.RecordFeedbackRequest(
            catalog=catalog_name(catalog),
            query_id=query_id,
            product=product_id,
            kind=query_log.FEEDBACK_KINDS[kind],
            place=place,
        ),
        queries_pb2.RecordFeedbackResponse,
        timeouts.read_s,
        lambda *_: None,
    )


def list_queries(
    catalog: str,
    timeouts: Timeouts,
    page_token: str,
    /,
    *,
    zero_results_only: bool = False,
    start: datetime | None = None,
    end: datetime | None = None,
    page_size: int = 100,
) -> Operation[queries_pb2.ListQueriesResponse, Page[LoggedQuery]]:
    """The queries of the catalogue, the newest first; those from `start` on and before `end`."""
    return Operation(
        "/vitrine.v1.QueryService/ListQueries",
        queries_pb2.ListQueriesRequest(
            parent=catalog_name(catalog),
            page_size=page_size,
            page_token=page_token,
            zero_results_only=zero_results_only,
            start_time=timestamp(start, "start"),
            end_time=timestamp(end, "end"),
        ),
        queries_pb2.ListQueriesResponse,
        timeouts.read_s,
        lambda response, _: Page(
            [query_log.query_of(query) for query in response.queries], response.next_page_token
        ),
    )


def query_stats(
    catalog: str, timeouts: Timeouts, /, *, start: datetime | None = None, end: datetime | None = None
) -> Operation[queries_pb2.QueryStatsResponse, QueryStats]:
    """Sum up the queries of the catalogue from `start`, 24 hours ago when None, to `end`, now when None."""
    return Operation(
        "/vitrine.v1.QueryService/QueryStats",
        queries_pb2.QueryStatsRequest(
            parent=catalog_name(catalog),
            start_time=timestamp(start, "start"),
            end_time=timestamp(end, "end"),
        ),
        queries_pb2.QueryStatsResponse,
        timeouts.read_s,
        lambda response, _: query_log.stats_of(response),
    )

"""The routes of the query log."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from services.gateway.http import arguments, body_reading, openapi, responses
from services.gateway.http.arguments import CatalogId, EndTime, PageSize, PageToken, QueryId, StartTime
from services.gateway.http.bodies import queries as bodies
from services.gateway.http.bodies.common import Empty
from services.gateway.http.flows import QueryFlow
from vitrine.v1 import queries_pb2

ZeroResultsOnly = Annotated[bool, Query(description="Only queries without a hit.")]


def routes(flow: QueryFlow) -> APIRouter:
    """What was searched for, and what people made of it."""
    router = APIRouter(
        prefix="/v1/catalogs/{catalog}/queries",
        tags=["queries"],
        dependencies=[Depends(arguments.only_known)],
    )

    @router.post(
        "/{query_id}:feedback",
        **openapi.operation(Empty, body=bodies.RecordFeedbackRequest, errors=(404,)),
    )
    async def record_feedback(catalog: CatalogId, query_id: QueryId, request: Request) -> Response:
        """Records what somebody made of a hit. Repeating it changes nothing."""
        name = arguments.catalog_name(catalog)
        body = await body_reading.read(request, bodies.RecordFeedbackRequest)
        message = queries_pb2.RecordFeedbackRequest(catalog=name, query_id=query_id, **body.to_fields())
        return responses.of_message(await flow.record_feedback(message))

    @router.get("", **openapi.operation(bodies.ListQueriesResponse, errors=(404,)))
    async def list_queries(
        catalog: CatalogId,
        *,
        page_size: PageSize = 0,
        page_token: PageToken = "",
        zero_results_only: ZeroResultsOnly = False,
        start_time: StartTime = None,
        end_time: EndTime = None,
    ) -> Response:
        """Lists the queries of a catalogue, the newest first."""
        message = queries_pb2.ListQueriesRequest(
            parent=arguments.catalog_name(catalog),
            page_size=page_size,
            page_token=page_token,
            zero_results_only=zero_results_only,
            start_time=arguments.timestamp(start_time),
            end_time=arguments.timestamp(end_time),
        )
        return responses.of_message(await flow.list_queries(message))

    @router.get(":stats", **openapi.operation(bodies.QueryStatsResponse, errors=(404,)))
    async def query_stats(
        catalog: CatalogId, start_time: StartTime = None, end_time: EndTime = None
    ) -> Response:
        """Sums up the queries of a catalogue: over the last 24 hours where no time is given."""
        message = queries_pb2.QueryStatsRequest(
            parent=arguments.catalog_name(catalog),
            start_time=arguments.timestamp(start_time),
            end_time=arguments.timestamp(end_time),
        )
        return responses.of_message(await flow.query_stats(message))

    return router

"""The route of Search."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.gateway.http import models, queries, responses
from services.gateway.http.flows import SearchFlow, Settings
from services.mesh import deadline, names
from vitrine.v1 import search_pb2

TIMEOUT_S = 10.0

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            queries.JSON_TYPE: {"schema": {"$ref": "#/components/schemas/SearchRequest"}},
            queries.FORM_TYPE: {"schema": queries.form_schema()},
        },
    }
}


def routes(settings: Settings, flow: SearchFlow) -> APIRouter:
    """Searching."""
    router = APIRouter(tags=["search"])

    @router.post("/v1/catalogs/{catalog}:search", response_model=models.SearchResponse, openapi_extra=_BODY)
    async def search(catalog: str, request: Request) -> Response:
        """Finds the products that look and mean the same as the query.

        The body is JSON, with photos as base64, or a form with a photo as the file `image` and, beside it,
        `text`, `product` and the options; in a form `facets` is repeated, and `filter` and `group_by` are
        JSON. The deadline is 10 s.
        """
        names.check_catalog_id(catalog, "catalog")
        with deadline.within(TIMEOUT_S):
            body = await queries.read(request, max_bytes=settings.max_message_bytes)
            message = search_pb2.SearchRequest(catalog=names.catalog_name(catalog), **body.to_fields())
            return responses.of_message(await flow.search(message))

    return router

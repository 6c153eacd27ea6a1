"""The routes of Search and BatchSearch."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from services.gateway.http import arguments, body_reading, examples, openapi, responses, search_request
from services.gateway.http.arguments import CatalogId
from services.gateway.http.bodies import search as bodies
from services.gateway.http.flows import SearchFlow, Settings
from services.mesh import deadline
from vitrine.v1 import search_pb2

TIMEOUT_S = 10.0


def routes(settings: Settings, flow: SearchFlow) -> APIRouter:
    """Searching."""
    router = APIRouter(prefix="/v1/catalogs/{catalog}", tags=["search"])

    async def answered(catalog: str, body: bodies.SearchRequest) -> Response:
        message = search_pb2.SearchRequest(catalog=arguments.catalog_name(catalog), **body.to_fields())
        return responses.of_message(await flow.search(message))

    @router.post(":search", **_search_by_body())
    async def search(catalog: CatalogId, request: Request) -> Response:
        """Finds the products that look and mean the same as the query.

        The body is JSON, with photos as base64 or addresses; or a form with a photo as the file `image` and,
        beside it, `text`, `product` and the options, where `facets` is repeated, and `filter` and `group_by`
        are JSON; or a photo alone, with what a form has beside it as parameters of the address, as in the
        search by address. For weights and boxes a form has `parts` instead of `text` and `product`: JSON in
        which an image with neither `content` nor `uri` is the next of the files. The deadline is 10 s.
        """
        arguments.catalog_name(catalog)
        with deadline.within(TIMEOUT_S):
            body = await search_request.read(request, max_bytes=settings.max_message_bytes)
            return await answered(catalog, body)

    @router.get(":search", **_search_by_address())
    async def search_by_address(catalog: CatalogId, request: Request) -> Response:
        """Finds products by words, by products, or by both; `parts`, `filter` and `group_by` are JSON.

        The deadline is 10 s.
        """
        with deadline.within(TIMEOUT_S):
            return await answered(catalog, search_request.of_query(request))

    @router.post(
        ":batchSearch",
        dependencies=[Depends(arguments.only_known)],
        **openapi.operation(bodies.BatchSearchResponse, body=bodies.BatchSearchRequest, errors=(404,)),
    )
    async def batch_search(catalog: CatalogId, request: Request) -> Response:
        """Answers several searches at once, each with its own outcome."""
        name = arguments.catalog_name(catalog)
        body = await body_reading.read(request, bodies.BatchSearchRequest)
        message = search_pb2.BatchSearchRequest(catalog=name, **body.to_fields())
        return responses.of_message(await flow.batch_search(message))

    return router


def _search_by_body() -> dict[str, Any]:
    described = openapi.operation(bodies.SearchResponse, body=bodies.SearchRequest, errors=(404,))
    described["openapi_extra"]["requestBody"]["content"] |= {
        search_request.FORM_TYPE: {
            "schema": search_request.form_schema(),
            "example": examples.SEARCH_FORM,
        },
        f"{search_request.PHOTO_TYPE}*": {"schema": {"type": "string", "contentMediaType": "image/jpeg"}},
    }
    return described


def _search_by_address() -> dict[str, Any]:
    described = openapi.operation(bodies.SearchResponse, errors=(404,))
    described["openapi_extra"]["parameters"] = search_request.query_parameters()
    return described

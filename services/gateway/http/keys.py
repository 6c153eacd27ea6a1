"""The routes of API keys."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from services.gateway.http import arguments, body_reading, openapi, responses
from services.gateway.http.arguments import KeyId, PageSize, PageToken
from services.gateway.http.bodies import keys as bodies
from services.gateway.http.bodies.common import Empty
from services.gateway.http.flows import AccessFlow
from vitrine.v1 import access_pb2


def routes(flow: AccessFlow) -> APIRouter:
    """Who may do what."""
    router = APIRouter(prefix="/v1/apiKeys", tags=["keys"], dependencies=[Depends(arguments.only_known)])

    @router.post(
        "",
        **openapi.operation(bodies.CreateApiKeyResponse, body=bodies.ApiKey, status=HTTPStatus.CREATED),
    )
    async def create_api_key(request: Request) -> Response:
        """Creates a key. Its secret is in this answer alone."""
        body = await body_reading.read(request, bodies.ApiKey)
        message = access_pb2.CreateApiKeyRequest(api_key=access_pb2.ApiKey(**body.to_fields()))
        with body_reading.of_field("api_key"):
            response = await flow.create_api_key(message)
        return responses.of_message(response, HTTPStatus.CREATED)

    @router.get("", **openapi.operation(bodies.ListApiKeysResponse))
    async def list_api_keys(page_size: PageSize = 0, page_token: PageToken = "") -> Response:
        """Lists keys by id, without their secrets."""
        message = access_pb2.ListApiKeysRequest(page_size=page_size, page_token=page_token)
        return responses.of_message(await flow.list_api_keys(message))

    @router.delete("/{key}", **openapi.operation(Empty, errors=(404,)))
    async def delete_api_key(key: KeyId) -> Response:
        """Deletes a key. Every gateway refuses it within 10 s."""
        message = access_pb2.DeleteApiKeyRequest(name=arguments.key_name(key))
        return responses.of_message(await flow.delete_api_key(message))

    return router

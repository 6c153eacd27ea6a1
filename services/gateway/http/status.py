"""The routes of the mesh's status."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from starlette.responses import Response

from services.gateway.http import arguments, openapi, responses
from services.gateway.http.bodies import status as bodies
from services.gateway.http.flows import StatusFlow
from vitrine.v1 import status_pb2


def routes(flow: StatusFlow) -> APIRouter:
    """How the mesh is, and its models."""
    router = APIRouter(prefix="/v1", tags=["status"], dependencies=[Depends(arguments.only_known)])

    @router.get("/status", **openapi.operation(bodies.GetStatusResponse))
    async def get_status() -> Response:
        """Tells what this gateway knows of the mesh: shards, dependencies, stages, searches, cache."""
        return responses.of_message(await flow.get_status(status_pb2.GetStatusRequest()))

    @router.get("/models", **openapi.operation(bodies.GetModelsResponse))
    async def get_models() -> Response:
        """Lists the models that the embedder serves, with their cards."""
        return responses.of_message(await flow.get_models(status_pb2.GetModelsRequest()))

    return router

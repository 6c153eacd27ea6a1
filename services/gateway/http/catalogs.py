"""The routes of catalogues and their generations."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from services.gateway.http import arguments, body_reading, openapi, responses
from services.gateway.http.arguments import CatalogId, GenerationId, PageSize, PageToken
from services.gateway.http.bodies import catalogs as bodies
from services.gateway.http.bodies.common import Empty
from services.gateway.http.flows import CatalogFlow
from vitrine.v1 import catalog_pb2

Force = Annotated[bool, Query(description="Delete its products too.")]


def routes(flow: CatalogFlow) -> APIRouter:
    """Catalogues and the models that see their products."""
    router = APIRouter(
        prefix="/v1/catalogs", tags=["catalogues"], dependencies=[Depends(arguments.only_known)]
    )

    @router.post(
        "",
        **openapi.operation(
            bodies.CreateCatalogResponse,
            body=bodies.CreateCatalogRequest,
            status=HTTPStatus.CREATED,
            errors=(409,),
        ),
    )
    async def create_catalog(request: Request) -> Response:
        """Creates a catalogue. Its first generation freezes the models that are served now."""
        body = await body_reading.read(request, bodies.CreateCatalogRequest)
        response = await flow.create_catalog(catalog_pb2.CreateCatalogRequest(**body.to_fields()))
        return responses.of_message(response, HTTPStatus.CREATED)

    @router.get("", **openapi.operation(bodies.ListCatalogsResponse))
    async def list_catalogs(page_size: PageSize = 0, page_token: PageToken = "") -> Response:
        """Lists catalogues by id."""
        message = catalog_pb2.ListCatalogsRequest(page_size=page_size, page_token=page_token)
        return responses.of_message(await flow.list_catalogs(message))

    @router.get("/{catalog}", **openapi.operation(bodies.GetCatalogResponse, errors=(404,)))
    async def get_catalog(catalog: CatalogId) -> Response:
        """Reads a catalogue."""
        message = catalog_pb2.GetCatalogRequest(name=arguments.catalog_name(catalog))
        return responses.of_message(await flow.get_catalog(message))

    @router.delete("/{catalog}", **openapi.operation(Empty, errors=(404,)))
    async def delete_catalog(catalog: CatalogId, *, force: Force = False) -> Response:
        """Deletes a catalogue, at once for everybody; its products are removed in the background.

        One that has products is deleted only with `force`.
        """
        message = catalog_pb2.DeleteCatalogRequest(name=arguments.catalog_name(catalog), force=force)
        return responses.of_message(await flow.delete_catalog(message))

    @router.post(
        "/{catalog}/generations",
        **openapi.operation(bodies.CreateGenerationResponse, status=HTTPStatus.CREATED, errors=(404,)),
    )
    async def create_generation(catalog: CatalogId) -> Response:
        """Adds a generation with the models that are served now, and embeds every product for it.

        That goes on in the background; searches use the active generation until another is activated.
        """
        message = catalog_pb2.CreateGenerationRequest(parent=arguments.catalog_name(catalog))
        return responses.of_message(await flow.create_generation(message), HTTPStatus.CREATED)

    @router.post(
        "/{catalog}/generations/{generation}:activate",
        **openapi.operation(bodies.ActivateGenerationResponse, errors=(404,)),
    )
    async def activate_generation(catalog: CatalogId, generation: GenerationId) -> Response:
        """Lets searches use another generation. The former one stays ready until it is deleted."""
        name = arguments.generation_name(catalog, generation)
        message = catalog_pb2.ActivateGenerationRequest(name=name)
        return responses.of_message(await flow.activate_generation(message))

    @router.delete(
        "/{catalog}/generations/{generation}",
        **openapi.operation(Empty, errors=(404,)),
    )
    async def delete_generation(catalog: CatalogId, generation: GenerationId) -> Response:
        """Deletes a generation and its vectors; one that is being built is given up."""
        name = arguments.generation_name(catalog, generation)
        return responses.of_message(
            await flow.delete_generation(catalog_pb2.DeleteGenerationRequest(name=name))
        )

    return router

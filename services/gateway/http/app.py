"""The HTTP application: routes, errors and OpenAPI."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.responses import Response

import vitrine
from services.gateway.http import catalogs, envelope, health, media, models, page, problems, search
from services.gateway.http.flows import CatalogFlow, Media, SearchFlow, Settings

_ABOUT = """Visual product search over HTTP and JSON.

Bodies are the messages of `vitrine.v1` in proto3 JSON with the protos' snake_case field names. Errors are
problem details (RFC 9457). A `traceparent` header is taken up, and every answer names its trace in the header
`trace-id`.
"""


def create_app(
    settings: Settings, search_flow: SearchFlow, catalog_flow: CatalogFlow, media_store: Media
) -> FastAPI:
    """The application over the gateway's flows."""
    app = _Application(
        title="Vitrine",
        version=vitrine.__version__,
        description=_ABOUT,
        # FastAPI's own pages load their script from elsewhere; ours is at /docs/.
        docs_url=None,
        redoc_url=None,
        responses={"default": {"model": problems.Problem, "description": "An error."}},
    )
    app.state.ready = True
    routers = [
        search.routes(settings, search_flow),
        catalogs.routes(catalog_flow),
        media.routes(media_store),
        health.routes(),
    ]
    for router in routers:
        app.include_router(router)
        envelope.declare(router)
    app.mount("/", page.Page(), name="page")
    app.add_middleware(envelope.Envelope, settings=settings)
    app.exception_handler(HTTPException)(_http_problem)
    app.exception_handler(RequestValidationError)(_validation_problem)
    return app


class _Application(FastAPI):
    """FastAPI whose OpenAPI also has the models of Search, which reads its body itself."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            schema = super().openapi()
            _, definitions = models_json_schema(
                [(models.SearchRequest, "validation"), (models.SearchOptions, "validation")],
                ref_template="#/components/schemas/{model}",
            )
            schema["components"]["schemas"] |= definitions["$defs"]
        return super().openapi()


async def _http_problem(_request: Request, error: HTTPException) -> Response:
    return problems.of_status(error.status_code, error.detail, dict(error.headers or {}))


async def _validation_problem(_request: Request, error: RequestValidationError) -> Response:
    return problems.of_error(problems.of_validation(error.errors()))

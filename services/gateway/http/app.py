"""The HTTP application: routes, errors and OpenAPI."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

import vitrine
from services.gateway.http import (
    catalogs,
    envelope,
    health,
    keys,
    media,
    openapi,
    page,
    problems,
    products,
    queries,
    search,
    status,
)
from services.gateway.http.flows import Gateway, Settings

_ABOUT = """Visual product search over HTTP and JSON.

Bodies are the messages of `vitrine.v1` in proto3 JSON with the protos' snake_case field names. Errors are
problem details (RFC 9457). A `traceparent` header is taken up, and every answer names its trace in the header
`trace-id`. Where access is controlled, a key or a token is sent with every request.
"""

_CORS_METHODS = ("GET", "POST", "PATCH", "DELETE")
_CORS_HEADERS = ("authorization", "content-type", "if-match", "traceparent", "x-api-key")
_CORS_ANSWERS = ("etag", "retry-after", "trace-id")
_CORS_MAX_AGE_S = 600


def create_app(settings: Settings, gateway: Gateway) -> FastAPI:
    """The application over the gateway's flows."""
    app = openapi.Described(
        title="Vitrine",
        version=vitrine.__version__,
        description=_ABOUT,
        openapi_tags=openapi.TAGS,
        generate_unique_id_function=_operation_id,
        # FastAPI's own pages load their script from elsewhere; ours is at /docs/.
        docs_url=None,
        redoc_url=None,
        # A path with one slash more is another path: a redirect would lose the body of a write.
        redirect_slashes=False,
        responses={"default": openapi.ANY_PROBLEM},
    )
    app.state.ready = True
    routers = [
        # Before catalogues, of which one could be called `demo:search` as far as routing knows.
        search.routes(settings, gateway.search),
        products.routes(gateway.catalog),
        queries.routes(gateway.queries),
        catalogs.routes(gateway.catalog),
        keys.routes(gateway.access.flow),
        status.routes(gateway.status),
        media.routes(gateway.media),
        health.routes(),
    ]
    for router in routers:
        app.include_router(router)
        envelope.declare(router)
    app.mount("/", page.Page(page.STATIC), name="page")
    app.add_middleware(
        envelope.Envelope,
        settings=settings,
        gatekeeper=gateway.access.gatekeeper,
        routes=[route for router in routers for route in router.routes],
    )
    if settings.cors_origins:
        # Around the envelope, so that a page can read errors too.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=_CORS_METHODS,
            allow_headers=_CORS_HEADERS,
            expose_headers=_CORS_ANSWERS,
            max_age=_CORS_MAX_AGE_S,
        )
    app.exception_handler(HTTPException)(_http_problem)
    app.exception_handler(RequestValidationError)(_validation_problem)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name


async def _http_problem(_request: Request, error: HTTPException) -> Response:
    return problems.of_status(error.status_code, error.detail, dict(error.headers or {}))


async def _validation_problem(_request: Request, error: RequestValidationError) -> Response:
    return problems.of_error(problems.of_validation(error.errors()))

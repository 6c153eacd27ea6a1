"""The routes that probes ask. Neither depends on other services: none may take every pod out."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse


def routes() -> APIRouter:
    """Liveness and readiness."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> PlainTextResponse:
        """Answers as long as the process does its work."""
        return PlainTextResponse("ok")

    @router.get("/readyz", response_class=PlainTextResponse)
    async def readyz(request: Request) -> PlainTextResponse:
        """Answers 200 while requests are welcome, and 503 while the process drains."""
        if request.app.state.ready:
            return PlainTextResponse("ready")
        return PlainTextResponse("draining", status_code=HTTPStatus.SERVICE_UNAVAILABLE)

    return router

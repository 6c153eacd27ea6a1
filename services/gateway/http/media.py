"""The route of products' pictures. A picture's name is the digest of its content, so it never changes."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from starlette.responses import FileResponse

from services.gateway.http.flows import Media
from services.gateway.media import CONTENT_TYPES

_HEADERS = {
    "cache-control": "public, max-age=31536000, immutable",
    "content-security-policy": "default-src 'none'",
}


def routes(media: Media) -> APIRouter:
    """Pictures."""
    router = APIRouter(tags=["media"])

    @router.get("/media/{file}", response_class=FileResponse)
    async def picture(file: str) -> FileResponse:
        """The picture of a product's photo, as `media_path` names it; it may be kept forever."""
        path = await asyncio.to_thread(media.path, file)
        return FileResponse(path, media_type=CONTENT_TYPES[path.suffix[1:]], headers=_HEADERS)

    return router

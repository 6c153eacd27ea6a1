"""The route of products' pictures. A picture's name is the digest of its photo, so it never changes."""

from __future__ import annotations

from collections import OrderedDict

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from services.gateway.http.flows import Media
from services.gateway.media import CONTENT_TYPES, Elsewhere

# What shoppers look at now: some thousand pictures.
RECENT_BYTES = 64 << 20

_POLICY = {"content-security-policy": "default-src 'none'"}
_FOREVER = {"cache-control": "public, max-age=31536000, immutable"}
# Where a host's pictures lie may be told otherwise some day.
_FOR_A_DAY = {"cache-control": "public, max-age=86400"}


def routes(media: Media) -> APIRouter:
    """Pictures."""
    router = APIRouter(tags=["media"])
    recent = _Recent(RECENT_BYTES)

    async def picture(file: str, request: Request) -> Response:
        data = recent.get(file)
        if data is None:
            shown = await media.shown(file)
            if isinstance(shown, Elsewhere):
                return RedirectResponse(shown.uri, 302, headers=_FOR_A_DAY | _POLICY)
            recent.put(file, data := shown)
        etag = f'"{file}"'
        headers = {**_FOREVER, **_POLICY, "etag": etag}
        if _knows(request.headers.get("if-none-match", ""), etag):
            return Response(status_code=304, headers=headers)
        content_type = CONTENT_TYPES[file.rpartition(".")[2]]
        if request.method == "HEAD":
            headers["content-length"] = str(len(data))
            return Response(headers=headers, media_type=content_type)
        return Response(data, headers=headers, media_type=content_type)

    @router.get(
        "/media/{file}",
        response_class=Response,
        responses={
            200: {"content": {kind: {} for kind in CONTENT_TYPES.values()}},
            302: {"description": "The picture is served by the host that the photo was fetched from."},
            304: {"description": "The caller has it, as `If-None-Match` says."},
        },
    )
    async def get(file: str, request: Request) -> Response:
        """The picture of a product's photo, as `media_path` names it; it may be kept forever."""
        return await picture(file, request)

    @router.head("/media/{file}", include_in_schema=False)
    async def head(file: str, request: Request) -> Response:
        return await picture(file, request)

    return router


def _knows(if_none_match: str, etag: str) -> bool:
    """Whether a caller's `If-None-Match` names the picture (RFC 9110, section 13.1.2)."""
    named = (each.strip().removeprefix("W/") for each in if_none_match.split(","))
    return any(each in {etag, "*"} for each in named)


class _Recent:
    """The pictures shown last, `max_bytes` together."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._size_bytes = 0
        self._pictures: OrderedDict[str, bytes] = OrderedDict()

    def get(self, file: str) -> bytes | None:
        data = self._pictures.get(file)
        if data is not None:
            self._pictures.move_to_end(file)
        return data

    def put(self, file: str, data: bytes) -> None:
        # Two who asked at the same time have both read it.
        if file in self._pictures or len(data) > self._max_bytes:
            return
        self._pictures[file] = data
        self._size_bytes += len(data)
        while self._size_bytes > self._max_bytes:
            _, dropped = self._pictures.popitem(last=False)
            self._size_bytes -= len(dropped)

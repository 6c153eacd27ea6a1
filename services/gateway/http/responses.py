"""Answers of the API: protos as JSON."""

from __future__ import annotations

from google.protobuf.message import Message
from starlette.responses import Response

from services.gateway.http import encoding


def of_message(message: Message, status: int = 200, *, etag: str = "") -> Response:
    """A proto as an answer that nobody may keep: products change. `etag` is that of the product in it."""
    headers = {"cache-control": "no-store"}
    if etag:
        headers["etag"] = f'"{etag}"'
    return Response(
        encoding.dumps(message), status_code=status, headers=headers, media_type="application/json"
    )

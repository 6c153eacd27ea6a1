"""What a request may look like at all, whatever it asks for."""

from __future__ import annotations

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import Scope

MAX_HEADERS = 100
MAX_HEADER_BYTES = 32 << 10
MAX_QUERY_BYTES = 16 << 10

# An encoded slash, backslash, dot or NUL is a character to who routes by the path as it came, such as a proxy
# with its rules, and a separator or nothing of the kind to who decodes it first. No name of ours needs one.
_DISGUISES = (b"%2f", b"%5c", b"%2e", b"%00")


def check(scope: Scope) -> None:
    """Raise HTTPException for a request that is refused before anybody looks at what it asks for."""
    headers = scope["headers"]
    size_bytes = sum(len(name) + len(value) for name, value in headers)
    if len(headers) > MAX_HEADERS or size_bytes > MAX_HEADER_BYTES:
        detail = f"a request has at most {MAX_HEADERS} headers of {MAX_HEADER_BYTES} bytes together"
        raise HTTPException(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)
    if len(scope["query_string"]) > MAX_QUERY_BYTES:
        raise HTTPException(HTTPStatus.REQUEST_URI_TOO_LONG, f"a query has at most {MAX_QUERY_BYTES} bytes")
    raw_path = scope.get("raw_path") or scope["path"].encode()
    if any(disguise in raw_path.lower() for disguise in _DISGUISES):
        raise HTTPException(HTTPStatus.NOT_FOUND, "there is no path with an encoded separator")

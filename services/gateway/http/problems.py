"""The one place where errors become HTTP answers: problem details.

Sources: RFC 9457 for the document, google/rpc/code.proto for the status of each kind of error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from services.mesh import errors, trace

MEDIA_TYPE = "application/problem+json"

_STATUS: dict[type[errors.VitrineError], HTTPStatus] = {
    errors.InvalidArgument: HTTPStatus.BAD_REQUEST,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.AlreadyExists: HTTPStatus.CONFLICT,
    errors.FailedPrecondition: HTTPStatus.BAD_REQUEST,
    errors.Aborted: HTTPStatus.CONFLICT,
    errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.PermissionDenied: HTTPStatus.FORBIDDEN,
    errors.OutOfRange: HTTPStatus.BAD_REQUEST,
    errors.DeadlineExceeded: HTTPStatus.GATEWAY_TIMEOUT,
    errors.ResourceExhausted: HTTPStatus.TOO_MANY_REQUESTS,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
_TITLES: dict[type[errors.VitrineError], str] = {
    errors.InvalidArgument: "Invalid argument",
    errors.NotFound: "Not found",
    errors.AlreadyExists: "Already exists",
    errors.FailedPrecondition: "Failed precondition",
    errors.Aborted: "Aborted",
    errors.Unauthenticated: "Unauthenticated",
    errors.PermissionDenied: "Permission denied",
    errors.OutOfRange: "Out of range",
    errors.DeadlineExceeded: "Deadline exceeded",
    errors.ResourceExhausted: "Too many requests",
    errors.Unavailable: "Unavailable",
}
# Names of fields may be the caller's own, of any length.
_MAX_FIELD_CHARACTERS = 200
# RFC 9110's phrases where Python's are older.
_PHRASES = {413: "Content too large", 414: "URI too long"}
_CHALLENGE = {"www-authenticate": 'Bearer realm="vitrine"'}


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(
        description="Where this kind of problem is described.", examples=["/docs/#invalid-argument"]
    )
    title: str = Field(description="The kind of problem.", examples=["Invalid argument"])
    status: int = Field(description="The HTTP status.", examples=[400])
    detail: str = Field(description="What is wrong, for people.", examples=["must be 1 to 100"])
    reason: str = Field(description="What is wrong, for programs.", examples=["INVALID_ARGUMENT"])
    field: str | None = Field(None, description="The field at fault.", examples=["k"])
    retry_after: float | None = Field(
        None, description="Seconds after which a retry makes sense.", examples=[1.0]
    )
    trace_id: str = Field(
        description="Names the request in logs.", examples=["0af7651916cd43dd8448eb211c80319c"]
    )


def of_error(error: errors.VitrineError) -> JSONResponse:
    """The answer to a domain error. One of no known kind is INTERNAL: 500."""
    kind = next((kind for kind in type(error).__mro__ if kind in _STATUS), None)
    return _response(
        status=_STATUS[kind] if kind else HTTPStatus.INTERNAL_SERVER_ERROR,
        title=_TITLES[kind] if kind else "Internal error",
        detail=error.message,
        reason=error.reason,
        field=_shown(error.field) if isinstance(error, errors.InvalidArgument) else None,
        retry_after=error.retry_after_s if isinstance(error, errors.Retryable) else None,
        # RFC 9110, 15.5.2: who is refused is told how to ask.
        headers=_CHALLENGE if isinstance(error, errors.Unauthenticated) else None,
    )


def of_status(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """The answer to an error of HTTP itself, such as a path that does not exist."""
    title = _PHRASES.get(status) or HTTPStatus(status).phrase.capitalize()
    reason = title.upper().replace(" ", "_").replace("-", "_")
    return _response(status=HTTPStatus(status), title=title, detail=detail, reason=reason, headers=headers)


def of_validation(problems: Sequence[Any]) -> errors.InvalidArgument:
    """The first of pydantic's problems as a domain error, its field written like `parts[0].image.content`."""
    first = problems[0]
    place = [part for part in first["loc"] if part not in {"body", "query", "path", "header"}]
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
    message = str(first["msg"]).removeprefix("Value error, ")
    return errors.InvalidArgument(field, message)


def _shown(field: str) -> str | None:
    """A field's name as it can be written; None when the whole request is at fault."""
    return field[:_MAX_FIELD_CHARACTERS].encode(errors="replace").decode() or None


def _response(
    *,
    status: HTTPStatus,
    title: str,
    detail: str,
    reason: str,
    field: str | None = None,
    retry_after: float | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    problem = Problem(
        type=f"/docs/#{title.lower().replace(' ', '-')}",
        title=title,
        status=status,
        detail=detail,
        reason=reason,
        field=field,
        retry_after=retry_after,
        trace_id=trace.current(),
    )
    # The header has whole seconds; rounding up keeps the caller from coming too early.
    retry = {} if retry_after is None else {"retry-after": str(math.ceil(retry_after))}
    return JSONResponse(
        problem.model_dump(exclude_none=True),
        status_code=status,
        headers={**(headers or {}), **retry},
        media_type=MEDIA_TYPE,
    )

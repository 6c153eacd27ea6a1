"""Bodies as their models."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from services.gateway.http import problems, strict_json
from services.gateway.http.bodies.base import Model
from services.mesh.errors import InvalidArgument

JSON_TYPE = "application/json"

_Body = TypeVar("_Body", bound=Model)


def content_type(request: Request) -> str:
    """The type of a request's body in lower case, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read(request: Request, model: type[_Body]) -> _Body:
    """The body of a request.

    Raises InvalidArgument naming the field, and HTTPException for another type than JSON: a form of another
    site, which a browser sends without asking, can write nothing.
    """
    if content_type(request) != JSON_TYPE:
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the body is {JSON_TYPE}")
    return validated(model, strict_json.loads(await request.body()))


@contextlib.contextmanager
def of_field(name: str) -> Iterator[None]:
    """Around a flow to which the body is the field `name` of its request: wrong fields are the body's."""
    try:
        yield
    except InvalidArgument as error:
        if not error.field.startswith(f"{name}."):
            raise
        field = error.field.removeprefix(f"{name}.")
        raise InvalidArgument(field, error.message, reason=error.reason) from error


def validated(model: type[_Body], document: Any) -> _Body:
    """`document` as the model; raises InvalidArgument naming the field."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise problems.of_validation(found) from error
